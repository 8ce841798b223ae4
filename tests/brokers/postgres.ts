/** Starts a PostgreSQL of the tests' own, on loopback only. */

import { Program, serverOf, StartError, startServer } from "./program.ts";
import { type BrokerRow, type LastingServer, run } from "./server.ts";

const [USER, DATABASE] = ["dashi", "dashi_tests"];

/** How often it is started after a kill: its children end a moment later. */
const MAX_STARTS = 20;

/** PostgreSQL. */
export const POSTGRES: BrokerRow = {
  name: "POSTGRES",
  title: "PostgreSQL",
  service: "postgres",
  serviceUrl: `postgres://${USER}:secret@127.0.0.1:5432/${DATABASE}`,
  servicePort: 5432,
  packages: Deno.build.os === "darwin"
    ? ["postgresql@17"]
    : ["postgresql", "pgbouncer"],
  tests: /postgres/i,
  isInstalled: () => programs() !== undefined,
  version: async () =>
    /\d+(\.\d+)*/.exec(await run(`${programs()}/postgres`, ["--version"]))
      ?.[0] ?? "unknown",
  start: () => startPostgres(),
  startLasting: () => startPostgres(),
};

/** Another task has programs of its own, which change the user by themselves. */
function givenPrograms(): string | undefined {
  return Deno.env.get("DASHI_TEST_POSTGRES_BIN");
}

/** The folder of the newest server on this machine: Debian's, or a package manager's. */
function programs(): string | undefined {
  const given = givenPrograms();
  if (given !== undefined) return given;
  const found: string[] = [];
  for (
    const base of ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"]
  ) {
    try {
      for (const { name } of Deno.readDirSync(base)) {
        if (!/^(postgresql@)?\d+$/.test(name)) continue;
        const folder = `${base}/${name}/bin`;
        if (Deno.statSync(`${folder}/initdb`).isFile) found.push(folder);
      }
    } catch {
      // There is no such folder.
    }
  }
  const number = (path: string) => Number(/(\d+)\/bin$/.exec(path)?.[1]);
  return found.sort((a, b) => number(a) - number(b)).at(-1);
}

/** It refuses to run as root: there it is the user that its package has made. */
function asUser(command: string, args: readonly string[]): readonly string[] {
  return Deno.build.os === "linux" && Deno.uid() === 0 &&
      givenPrograms() === undefined
    ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
      .concat(command, args)
    : [command, ...args];
}

/**
 * Starts a server in a new folder. What it has confirmed outlives its process.
 *
 * @param options `log` is the folder of its write-ahead log, which it makes, if not in its own.
 */
export function startPostgres(
  { log }: { readonly log?: string } = {},
): Promise<LastingServer> {
  return startServer("postgres", (port, folder) => startOn(port, folder, log));
}

async function startOn(
  port: number,
  folder: string,
  log: string | undefined,
): Promise<LastingServer> {
  const bin = programs();
  const data = `${folder}/data`;
  if (givenPrograms() !== undefined) await Deno.chmod(folder, 0o777);
  else if (Deno.uid() === 0) await run("chown", ["postgres", folder]);
  const [initdb = "", ...making] = asUser(`${bin}/initdb`, [
    `--pgdata=${data}`,
    `--username=${USER}`,
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    // In files as small as can be.
    ...log === undefined ? [] : [`--waldir=${log}`, "--wal-segsize=1"],
  ]);
  await run(initdb, making);
  const [command = "", ...args] = asUser(`${bin}/postgres`, [
    "-D",
    data,
    "-p",
    String(port),
    "-c",
    "listen_addresses=127.0.0.1",
    "-c",
    "unix_socket_directories=",
    "-c",
    "max_connections=300",
    // A process that is killed leaves its writes to the system: only a machine's end is another matter.
    "-c",
    "fsync=off",
    "-c",
    "full_page_writes=off",
  ]);
  const ready = ["--host=127.0.0.1", `--port=${port}`, "--timeout=1"];
  const program = new Program({
    title: `PostgreSQL on port ${port}`,
    command,
    args,
    cwd: folder,
    log: `${folder}/postgres.log`,
    timeout: 60_000,
    isReady: async () => {
      await run(`${bin}/pg_isready`, ready);
      return true;
    },
  });
  await program.start();
  const at = ["--host=127.0.0.1", `--port=${port}`, `--username=${USER}`];
  await run(`${bin}/createdb`, [...at, DATABASE]);
  return serverOf(program, { folder, stopSignal: "SIGINT" }, {
    url: `postgres://${USER}@127.0.0.1:${port}/${DATABASE}`,
    async restart(signal: Deno.Signal = "SIGTERM") {
      // What SIGTERM begins waits for all who are connected.
      await program.end(signal === "SIGTERM" ? "SIGINT" : signal);
      for (let starts = 1;; starts++) {
        try {
          return await program.start();
        } catch (error) {
          if (
            !(error instanceof StartError && error.ended) ||
            starts === MAX_STARTS
          ) throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
  });
}
