/**
 * Starts a CouchDB of the tests' own, on loopback only: npm:pouchdb-server, which has
 * CouchDB's revisions and feed of changes, and nothing of its clustering.
 */

import { Program, serverOf, startServer } from "./program.ts";
import { type BrokerRow, type LastingServer, run } from "./server.ts";

const VERSION = "4.2.0";
const [USER, PASSWORD] = ["dashi", "secret"];

/** The folder in which the server is installed, once. */
const FOLDER = `${cacheFolder()}/dashi-tests/pouchdb-server-${VERSION}`;
const SERVER = `${FOLDER}/node_modules/pouchdb-server/lib/index.js`;

/** A difference from CouchDB, or a behaviour that costs too much, mended in this server's own code. */
interface Cure {
  readonly file: string;
  readonly flaw: string;
  readonly cure: string;
}

const CURES: readonly Cure[] = [
  // Two who write the same to the same revision of a document, as two who remove it do:
  // it dies of an exception. CouchDB says conflict to the second.
  {
    file: fileOf("pouchdb-adapter-leveldb-core", "7.3.1", "lib/index.js"),
    flaw: `          return callback2();`,
    cure:
      `          results[resultsIdx] = pouchdbErrors.createError(pouchdbErrors.REV_CONFLICT);
          return callback2();`,
  },
  // A feed whose client has gone is fed for ever, so that each write costs all feeds
  // that there ever were.
  {
    file: fileOf("express-pouchdb", VERSION, "lib/routes/changes.js"),
    flaw: `        req.db.changes(req.query).on('change', function (change) {`,
    cure: `        var feed = req.db.changes(req.query);
        res.on('close', function () {
          feed.cancel();
          cleanup();
        });
        feed.on('change', function (change) {`,
  },
  // It looks for functions that validate documents, anew for each document.
  {
    file: fileOf("pouchdb-server", VERSION, "lib/index.js"),
    flaw: `  configPath: getArg('config')
});`,
    cure: `  configPath: getArg('config'),
  overrideMode: {exclude: ['validation']}
});`,
  },
  // It compresses what goes over loopback.
  {
    file: fileOf("express-pouchdb", VERSION, "lib/index.js"),
    flaw: `  'compression',
  'routes/404',`,
    cure: `  // 'compression',
  'routes/404',`,
  },
];

/** Says which cures were applied. */
const DONE = `${FOLDER}/done-${CURES.length}`;

/** CouchDB. */
export const COUCHDB: BrokerRow = {
  name: "COUCHDB",
  title: "CouchDB",
  service: "couchdb",
  serviceUrl: `couchdb://${USER}:${PASSWORD}@127.0.0.1:5984/dashi-tests`,
  servicePort: 5984,
  packages: [],
  tests: /couchdb/i,
  version: () => `pouchdb-server ${VERSION}`,
  isInstalled: () => isInstalled(),
  install,
  start: () => startCouchdb({ keepsData: false }),
  startLasting: () => startCouchdb(),
};

/** A CouchDB that a test may stop, kill and restart. */
export interface Couchdb extends LastingServer {
  /** The same server by HTTP, for requests of a test's own. */
  readonly httpUrl: string;
  /** The `authorization` header of a test's own requests. */
  readonly authorization: string;
}

/** Whether it was installed. */
export function isInstalled(): boolean {
  try {
    return Deno.statSync(DONE).isFile;
  } catch {
    return false;
  }
}

async function install(): Promise<void> {
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeTextFile(
    `${FOLDER}/deno.json`,
    JSON.stringify({
      nodeModulesDir: "auto",
      imports: { "pouchdb-server": `npm:pouchdb-server@${VERSION}` },
    }),
  );
  await run(Deno.execPath(), [
    "install",
    "--quiet",
    `--config=${FOLDER}/deno.json`,
  ]);
  for (const { file, flaw, cure } of CURES) {
    const text = await Deno.readTextFile(file);
    if (text.includes(cure)) continue;
    if (!text.includes(flaw)) throw new Error(`${file} is not as it was`);
    await Deno.remove(file); // it may be the very file of Deno's cache
    await Deno.writeTextFile(file, text.replace(flaw, () => cure));
  }
  await Deno.writeTextFile(DONE, "");
}

/** Starts a server in a new folder; in memory, or with files that outlive it. */
export function startCouchdb(
  options: { readonly keepsData: boolean } = { keepsData: true },
): Promise<Couchdb> {
  return startServer(
    "couchdb",
    (port, folder) => startOn(port, folder, options.keepsData),
  );
}

async function startOn(
  port: number,
  folder: string,
  keepsData: boolean,
): Promise<Couchdb> {
  await Deno.mkdir(`${folder}/data`);
  await Deno.writeTextFile(
    `${folder}/config.json`,
    JSON.stringify({
      admins: { [USER]: PASSWORD },
      // A line for each request costs more than some requests.
      log: { level: "warning" },
    }),
  );
  const program = new Program({
    title: `CouchDB on port ${port}`,
    command: Deno.execPath(),
    args: [
      "run",
      "-A",
      "--quiet",
      // It makes an error of each document that is not there: the stack costs a tenth of all.
      "--v8-flags=--stack-trace-limit=0",
      `--config=${FOLDER}/deno.json`,
      "--no-lock",
      SERVER,
      ...keepsData ? ["--dir", "data"] : ["--in-memory"],
      ...["--host", "127.0.0.1", "--port", String(port)],
      ...["--config", "config.json", "--no-stdout-logs"],
    ],
    cwd: folder,
    log: `${folder}/log`,
    timeout: 60_000,
    isReady: async (signal) => {
      const response = await fetch(`http://127.0.0.1:${port}/`, { signal });
      await response.body?.cancel();
      return response.ok;
    },
  });
  await program.start();
  return serverOf(program, { folder, stopSignal: "SIGKILL" }, {
    url: `couchdb://${USER}:${PASSWORD}@127.0.0.1:${port}/dashi-tests`,
    httpUrl: `http://127.0.0.1:${port}`,
    authorization: `Basic ${btoa(`${USER}:${PASSWORD}`)}`,
  });
}

function fileOf(name: string, version: string, path: string): string {
  return `${FOLDER}/node_modules/.deno/${name}@${version}/node_modules/${name}/${path}`;
}

function cacheFolder(): string {
  const given = Deno.env.get("XDG_CACHE_HOME");
  if (given !== undefined && given !== "") return given;
  return `${Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? "."}/.cache`;
}
