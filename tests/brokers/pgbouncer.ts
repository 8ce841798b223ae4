/** Starts a PgBouncer of the tests' own before a PostgreSQL, on loopback only. */

import { listens, Program, serverOf, startServer } from "./program.ts";
import { run, type Server } from "./server.ts";

const PROGRAM = "/usr/sbin/pgbouncer";

/** Whether it is on this machine. */
export function isInstalled(): boolean {
  try {
    return Deno.statSync(PROGRAM).isFile;
  } catch {
    return false;
  }
}

/** Starts one in transaction mode: each transaction may have another session of the server. */
export function startPgbouncer(server: string): Promise<Server> {
  return startServer(
    "pgbouncer",
    (port, folder) => startOn(new URL(server), port, folder),
  );
}

async function startOn(
  { hostname, port: behind, username, password, pathname }: URL,
  port: number,
  folder: string,
): Promise<Server> {
  const database = pathname.slice(1);
  const secret = password === "" ? "" : ` password=${password}`;
  await Deno.writeTextFile(
    `${folder}/pgbouncer.ini`,
    `[databases]
${database} = host=${hostname} port=${behind} dbname=${database} user=${username}${secret}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
`,
  );
  const settings = `${folder}/pgbouncer.ini`;
  // It refuses to run as root.
  const isRoot = Deno.uid() === 0;
  if (isRoot) await run("chown", ["-R", "nobody", folder]);
  const [command = "", ...args] = isRoot
    ? ["setpriv", "--reuid=nobody", "--clear-groups", PROGRAM, settings]
    : [PROGRAM, settings];
  const program = new Program({
    title: `PgBouncer on port ${port}`,
    command,
    args,
    cwd: folder,
    log: `${folder}/pgbouncer.log`,
    timeout: 60_000,
    isReady: () => listens(port),
  });
  await program.start();
  return serverOf(program, { folder, stopSignal: "SIGINT" }, {
    url: `postgres://${username}@127.0.0.1:${port}/${database}`,
  });
}
