/** Finds or starts the brokers that the tests need. */

import { Line } from "../../async/line.ts";
import { BEANSTALK } from "./beanstalk.ts";
import { COUCHDB } from "./couchdb.ts";
import { FERRETDB } from "./ferretdb.ts";
import { MONGODB } from "./mongodb.ts";
import { NATS } from "./nats.ts";
import { POSTGRES } from "./postgres.ts";
import { RABBITMQ } from "./rabbitmq.ts";
import { REDIS } from "./redis.ts";
import { REDIS_CLUSTER } from "./redis_cluster.ts";
import { SQS } from "./sqs.ts";
import { type BrokerRow, type LastingServer, run, until } from "./server.ts";

/** Adding a broker is adding a row. */
export const BROKERS: readonly BrokerRow[] = [
  RABBITMQ,
  REDIS,
  REDIS_CLUSTER,
  BEANSTALK,
  SQS,
  MONGODB,
  FERRETDB,
  COUCHDB,
  POSTGRES,
  NATS,
];

/** A broker that was asked for. */
export interface ProvidedBroker {
  readonly title: string;
  /** Which tests are its own. */
  readonly tests: RegExp;
  readonly version: string;
  /** How it was had, or why not. */
  readonly how: string;
  /** Seconds until it served, or could not be had. */
  readonly seconds: number;
  /** It is there, or could have been, and did not start: that fails the run. */
  readonly failed: boolean;
}

/** The brokers, as the tests are told of them. */
export interface Brokers {
  /** `DASHI_TEST_<NAME>_URL`, or `DASHI_TEST_<NAME>_REASON` where there is none. */
  readonly env: Record<string, string>;
  /** The result for each broker, in the order of the rows. */
  readonly brokers: readonly ProvidedBroker[];
  /** Stops what was started. */
  stop(): Promise<void>;
}

/** Finds or starts the brokers, all if not told otherwise, and says on the terminal what it does. */
export async function provideBrokers(
  say: (line: string) => void,
  rows: readonly BrokerRow[] = BROKERS,
): Promise<Brokers> {
  const env: Record<string, string> = {};
  const stops: (() => Promise<void>)[] = [];
  /** One at a time: package managers lock each other out. */
  const line = new Line();
  const provideOne = async (row: BrokerRow): Promise<ProvidedBroker> => {
    const began = performance.now();
    const told = (how: string, version: string, failed: boolean) => ({
      title: row.title,
      tests: row.tests,
      version,
      how,
      seconds: (performance.now() - began) / 1000,
      failed,
    });
    try {
      const { url, how, version, more = {}, stop } = await provide(
        row,
        line,
        say,
      );
      const provided = told(how, version, false);
      say(
        `${row.title} ${version}: ${how}, at ${withoutPassword(url)} (${
          provided.seconds.toFixed(1)
        } s)`,
      );
      env[`DASHI_TEST_${row.name}_URL`] = url;
      for (const [key, value] of Object.entries(more)) {
        env[`DASHI_TEST_${row.name}_${key}`] = value;
      }
      if (stop !== undefined) stops.push(stop);
      return provided;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const line = reason.split("\n")[0] ?? reason;
      const absent = error instanceof AbsentError;
      say(
        absent
          ? `${row.title}: cannot be had, its tests are skipped: ${line}`
          : `${row.title}: did not start, which fails the run: ${line}`,
      );
      env[`DASHI_TEST_${row.name}_REASON`] = line;
      return told(absent ? "cannot be had" : "DID NOT START", "", !absent);
    }
  };
  const brokers = await Promise.all(rows.map(provideOne));
  return {
    env,
    brokers,
    async stop() {
      // One that has died by itself is ended, and does not keep the others running.
      await Promise.allSettled(stops.map((stop) => stop()));
    },
  };
}

/** Starts a server of one's own that may be killed, or says why there can be none. */
export function lastingServer(
  name: string,
): { readonly start: () => Promise<LastingServer> } | {
  readonly reason: string;
} {
  const row = BROKERS.find((each) => each.name === name);
  const start = row?.startLasting;
  if (row === undefined || start === undefined || !row.isInstalled()) {
    return { reason: `${row?.title ?? name} is no program here` };
  }
  return { start };
}

/** It is not on this machine, and cannot be brought there. */
class AbsentError extends Error {
  override readonly name: string = "AbsentError";
}

interface Provided {
  readonly url: string;
  readonly how: string;
  readonly version: string;
  /** Other environment variables for the tests. */
  readonly more?: Readonly<Record<string, string>> | undefined;
  readonly stop?: () => Promise<void>;
}

async function provide(
  row: BrokerRow,
  line: Line,
  say: (line: string) => void,
): Promise<Provided> {
  const given = Deno.env.get(`DASHI_TEST_${row.name}_URL`);
  if (given !== undefined) {
    return { url: given, how: "as the environment says", version: "" };
  }
  if (!row.isInstalled() && await hasEngine()) {
    say(`${row.title}: starting its container …`);
    // Two that are made at once would each make the network that they share.
    await line.enter(() => run("docker", ["compose", "create", row.service]));
    await run("docker", ["compose", "up", "--wait", row.service]);
    await until(row.title, 60_000, () => listens(row.servicePort));
    return {
      url: row.serviceUrl,
      how: "in a container",
      version: "",
      stop: async () => {
        await run("docker", ["compose", "stop", row.service]);
      },
    };
  }
  const wasInstalled = row.isInstalled();
  if (!wasInstalled) {
    try {
      await line.enter(() => install(row, say));
    } catch (error) {
      throw new AbsentError(error instanceof Error ? error.message : "");
    }
  }
  say(`${row.title}: starting a server of the tests' own …`);
  const server = await row.start();
  return {
    url: server.url,
    how: wasInstalled ? "was installed" : "installed now",
    version: await row.version(),
    more: server.told,
    stop: () => server.stop(),
  };
}

/** Whether containers can be had, and are wanted. */
async function hasEngine(): Promise<boolean> {
  if (Deno.env.get("DASHI_TEST_CONTAINERS") === "no") return false;
  try {
    const child = new Deno.Command("docker", {
      args: ["info"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const timer = setTimeout(() => child.kill(), 3000);
    const { success } = await child.status;
    clearTimeout(timer);
    return success;
  } catch {
    return false;
  }
}

async function install(
  row: BrokerRow,
  say: (line: string) => void,
): Promise<void> {
  if (row.install !== undefined) {
    say(`${row.title}: installing it …`);
    return await row.install();
  }
  const names = row.packages.join(" ");
  if (Deno.build.os === "linux" && Deno.uid() === 0 && await has("apt-get")) {
    say(`${row.title}: installing ${names} by apt-get …`);
    const env = { DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update", "-q"], env);
    await run(
      "apt-get",
      ["install", "-q", "-y", "--no-install-recommends", ...row.packages],
      env,
    );
  } else if (await has("brew")) {
    say(`${row.title}: installing ${names} by brew …`);
    await run("brew", ["install", ...row.packages]);
  }
  if (row.isInstalled()) return;
  throw new Error(
    `it is not installed, there is no container engine, and it could not be installed; install ${names}, or set DASHI_TEST_${row.name}_URL`,
  );
}

async function has(command: string): Promise<boolean> {
  try {
    await run(command, ["--version"]);
    return true;
  } catch {
    return false;
  }
}

function withoutPassword(url: string): string {
  return url.replace(/:[^:@/]*@/, ":**@");
}

async function listens(port: number): Promise<boolean> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  socket.close();
  return true;
}
