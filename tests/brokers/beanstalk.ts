/** Starts a beanstalkd of the tests' own, on loopback only. */

import {
  listens,
  Program,
  type ProgramServer,
  serverOf,
  startServer,
} from "./program.ts";
import type { BrokerRow } from "./server.ts";

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
  tests: /beanstalk/i,
  isInstalled: () => findBeanstalk() !== undefined,
  version: beanstalkVersion,
  start: () => startBeanstalk(),
  startLasting: () => startBeanstalk({ sync: true }),
};

/** A beanstalkd that a test may stop, kill and restart. */
export interface Beanstalk extends ProgramServer {
  readonly port: number;
}

/** Returns the path of the server if it is installed, else `undefined`. */
export function findBeanstalk(): string | undefined {
  return BINARIES.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** The settings that a server of the tests' own is started with. */
export interface BeanstalkOptions {
  /** The largest job, bytes. The suite publishes a mebibyte, and base64 needs more. */
  readonly maxJobSize?: number;
  /** Whether it keeps its jobs in a folder. @default {true} */
  readonly binlog?: boolean;
  /** Where its folder is. @default {among the temporary files} */
  readonly dir?: string;
  /** Whether each is on the disk before it is confirmed. @default {false} */
  readonly sync?: boolean;
}

function beanstalkVersion(): string {
  const { stdout } = new Deno.Command(findBeanstalk() ?? "beanstalkd", {
    args: ["-v"],
    stderr: "null",
  }).outputSync();
  return new TextDecoder().decode(stdout).trim().split(" ").at(-1) ?? "unknown";
}

/** Starts a server in a new folder. */
export function startBeanstalk(
  options: BeanstalkOptions = {},
): Promise<Beanstalk> {
  return startServer(
    "beanstalkd",
    (port, folder) => startOn(port, folder, options),
    undefined,
    options.dir,
  );
}

async function startOn(
  port: number,
  folder: string,
  options: BeanstalkOptions,
): Promise<Beanstalk> {
  const { maxJobSize = 4 * 1024 * 1024, binlog = true, sync = false } = options;
  const path = findBeanstalk();
  if (path === undefined) throw new Error("beanstalkd is not installed");
  await Deno.mkdir(`${folder}/jobs`);
  const program = new Program({
    title: `beanstalkd on port ${port}`,
    command: path,
    args: [
      ...["-l", "127.0.0.1", "-p", String(port), "-z", String(maxJobSize)],
      ...(binlog ? ["-b", `${folder}/jobs`, "-s", String(8 * maxJobSize)] : []),
      ...(sync ? ["-f", "0"] : []),
    ],
    log: `${folder}/log`,
    timeout: 60_000,
    isReady: () => listens(port),
  });
  await program.start();
  return serverOf(program, { folder }, {
    url: `beanstalk://127.0.0.1:${port}`,
    port,
  });
}
