/** Starts a beanstalkd of the tests' own, on loopback only. */

import {
  type BrokerRow,
  freePort,
  type LastingServer,
  until,
} from "./server.ts";

const BINARIES = [
  "/usr/bin/beanstalkd",
  "/usr/local/bin/beanstalkd",
  "/opt/homebrew/bin/beanstalkd",
];

/** beanstalkd. */
export const BEANSTALK: BrokerRow = {
  name: "BEANSTALK",
  title: "beanstalkd",
  service: "beanstalkd",
  serviceUrl: "beanstalk://127.0.0.1:11300",
  servicePort: 11300,
  packages: ["beanstalkd"],
  isInstalled: () => findBeanstalk() !== undefined,
  start: () => startBeanstalk(),
  startLasting: () => startBeanstalk({ sync: true }),
};

/** A beanstalkd that a test may stop, kill and restart. */
export interface Beanstalk extends LastingServer {
  readonly port: number;
  /** Starts it again after `kill`. */
  start(): Promise<void>;
}

/** Where the server is installed, or `undefined`. */
export function findBeanstalk(): string | undefined {
  return BINARIES.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** What a server of the tests' own is started with. */
export interface BeanstalkOptions {
  /** The largest job, bytes. The suite publishes a mebibyte, and base64 needs more. */
  readonly maxJobSize?: number;
  /** Whether it keeps its jobs in a folder. @default {true} */
  readonly binlog?: boolean;
  /** Whether each is on the disk before it is confirmed. @default {false} */
  readonly sync?: boolean;
}

/** Starts a server in a new folder. */
export async function startBeanstalk(
  options: BeanstalkOptions = {},
): Promise<Beanstalk> {
  const { maxJobSize = 4 * 1024 * 1024, binlog = true, sync = false } = options;
  const path = findBeanstalk();
  if (path === undefined) throw new Error("beanstalkd is not installed");
  const folder = await Deno.makeTempDir({ prefix: "dashi-beanstalkd-" });
  const port = freePort();
  let child: Deno.ChildProcess | undefined;
  const start = async () => {
    child = new Deno.Command(path, {
      args: [
        ...["-l", "127.0.0.1", "-p", String(port), "-z", String(maxJobSize)],
        ...(binlog ? ["-b", folder, "-s", String(8 * maxJobSize)] : []),
        ...(sync ? ["-f", "0"] : []),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await until(`beanstalkd on port ${port}`, 10_000, async () => {
      const socket = await Deno.connect({ hostname: "127.0.0.1", port });
      socket.close();
      return true;
    });
  };
  const end = async (signal: Deno.Signal) => {
    child?.kill(signal);
    await child?.status;
    child = undefined;
  };
  await start();
  return {
    url: `beanstalk://127.0.0.1:${port}`,
    port,
    get pid() {
      return child?.pid ?? 0;
    },
    start,
    async restart(signal = "SIGTERM") {
      await end(signal);
      await start();
    },
    kill: () => end("SIGKILL"),
    async stop() {
      await end("SIGTERM");
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    },
  };
}
