/** Starts a FerretDB of the tests' own, on loopback only: a server of MongoDB's protocol that Kombu's client accepts, with capped collections. */

import { cacheFolder, cachePath } from "../support/cache.ts";
import { listens, Program, serverOf, startServer } from "./program.ts";
import { type BrokerRow, run, type Server } from "./server.ts";

const VERSION = "1.24.0";
const NAME = `ferretdb-${VERSION}`;

/** FerretDB; in a container the real MongoDB takes its place. Its claims are not atomic: one consumer at a time. */
export const FERRETDB: BrokerRow = {
  name: "FERRETDB",
  title: "FerretDB",
  service: "mongodb",
  serviceUrl: "mongodb://127.0.0.1:27017/dashi_interop",
  servicePort: 27017,
  packages: ["golang"],
  tests: /ferretdb/i,
  slow: true,
  version: () => VERSION,
  isInstalled: () => findFerretdb() !== undefined,
  install: installFerretdb,
  start: () => startServer("ferretdb", startOn),
};

/** Its own command cannot be built outside its repository; as a library it can. */
const PROGRAM = `package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:" + os.Args[1]},
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2] + "/",
	})
	if err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	_ = server.Run(ctx)
}
`;

const MODULE = `module dashi/tests

go 1.22

require github.com/FerretDB/FerretDB v${VERSION}
`;

/** The program, or `undefined`. */
function findFerretdb(): string | undefined {
  const program = `${cachePath(NAME)}/ferretdb`;
  try {
    return Deno.statSync(program).isFile ? program : undefined;
  } catch {
    return undefined;
  }
}

async function installFerretdb(): Promise<void> {
  try {
    await run("go", ["version"]);
  } catch {
    throw new Error(
      "it is built by Go, and there is none; or have a container engine, or set DASHI_TEST_FERRETDB_URL",
    );
  }
  const folder = await cacheFolder(NAME);
  await Deno.writeTextFile(`${folder}/go.mod`, MODULE);
  await Deno.writeTextFile(`${folder}/main.go`, PROGRAM);
  // The tests of other brokers run meanwhile.
  await run("nice", [
    "-n",
    "19",
    "go",
    "build",
    "-C",
    folder,
    "-mod=mod",
    "-o",
    `${folder}/unfinished`,
    ".",
  ]);
  await Deno.rename(`${folder}/unfinished`, `${folder}/ferretdb`);
}

/** Starts a server with data of its own. */
async function startOn(port: number, folder: string): Promise<Server> {
  const command = findFerretdb();
  if (command === undefined) throw new Error("FerretDB is not installed");
  const program = new Program({
    title: `FerretDB on port ${port}`,
    command,
    args: [String(port), `${folder}/data`],
    log: `${folder}/log`,
    timeout: 60_000,
    isReady: () => listens(port),
  });
  await Deno.mkdir(`${folder}/data`);
  await program.start();
  return serverOf(program, { folder }, {
    url: `mongodb://127.0.0.1:${port}/dashi_interop`,
  });
}
