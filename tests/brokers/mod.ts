/** Finds or starts the brokers that the tests need. */

import { findRabbitmq, startRabbitmq } from "./rabbitmq.ts";
import { run, type Server, until } from "./server.ts";

/** A broker that tests need. */
interface BrokerRow {
  /** As in `DASHI_TEST_<NAME>_URL`. */
  readonly name: string;
  /** What it is, for people. */
  readonly title: string;
  /** Its service in compose.yaml, and the URL of that. */
  readonly service: string;
  readonly serviceUrl: string;
  readonly servicePort: number;
  /** Debian's and Homebrew's package. */
  readonly packages: readonly string[];
  /** Whether the server is on this machine. */
  isInstalled(): boolean;
  start(): Promise<Server>;
}

/** Adding a broker is adding a row. */
const BROKERS: readonly BrokerRow[] = [{
  name: "AMQP",
  title: "RabbitMQ",
  service: "rabbitmq",
  serviceUrl: "amqp://guest:guest@127.0.0.1:5672//",
  servicePort: 5672,
  packages: ["rabbitmq-server"],
  isInstalled: () => findRabbitmq() !== undefined,
  start: () => startRabbitmq(),
}];

/** The brokers, as the tests are told of them. */
export interface Brokers {
  /** `DASHI_TEST_<NAME>_URL`, or `DASHI_TEST_<NAME>_REASON` where there is none. */
  readonly env: Record<string, string>;
  /** Stops what was started. */
  stop(): Promise<void>;
}

/** Finds or starts all brokers, and says on the terminal what it does. */
export async function provideBrokers(
  say: (line: string) => void,
): Promise<Brokers> {
  const env: Record<string, string> = {};
  const stops: (() => Promise<void>)[] = [];
  for (const row of BROKERS) {
    const began = performance.now();
    try {
      const { url, how, stop } = await provide(row, say);
      const took = ((performance.now() - began) / 1000).toFixed(1);
      say(`${row.title}: ${how} (${took} s)`);
      env[`DASHI_TEST_${row.name}_URL`] = url;
      if (stop !== undefined) stops.push(stop);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const line = reason.split("\n")[0] ?? reason;
      say(`${row.title}: cannot be had, its tests are skipped: ${line}`);
      env[`DASHI_TEST_${row.name}_REASON`] = line;
    }
  }
  return {
    env,
    async stop() {
      for (const stop of stops) await stop();
    },
  };
}

interface Provided {
  readonly url: string;
  readonly how: string;
  readonly stop?: () => Promise<void>;
}

async function provide(
  row: BrokerRow,
  say: (line: string) => void,
): Promise<Provided> {
  const given = Deno.env.get(`DASHI_TEST_${row.name}_URL`);
  if (given !== undefined) {
    return { url: given, how: "as the environment says" };
  }
  if (!row.isInstalled() && await hasEngine()) {
    say(`${row.title}: starting its container …`);
    await run("docker", ["compose", "up", "--wait", row.service]);
    await until(row.title, 60_000, () => listens(row.servicePort));
    return {
      url: row.serviceUrl,
      how: "in a container",
      stop: async () => {
        await run("docker", ["compose", "stop", row.service]);
      },
    };
  }
  if (!row.isInstalled()) {
    await install(row, say);
  }
  say(`${row.title}: starting a server of the tests' own …`);
  const server = await row.start();
  return {
    url: server.url,
    how: `at ${server.url}`,
    stop: () => server.stop(),
  };
}

async function hasEngine(): Promise<boolean> {
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

async function listens(port: number): Promise<boolean> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  socket.close();
  return true;
}
