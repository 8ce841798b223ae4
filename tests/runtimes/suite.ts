// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Runs the conformance suite, of the package for npm, on every broker that can be had, by
 * Node or by Bun: `deno task test:node` and `deno task test:bun`.
 *
 * `suite.ts RUNTIME… [VERSION] [--quick] [TRANSPORT…]`: `--quick` leaves out the cases
 * that kill, that restart, and that are long. The version is the least of README, if
 * none is named.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { BROKERS, lastingServer, provideBrokers } from "../brokers/mod.ts";
import type { LastingServer } from "../brokers/server.ts";
import { toScript } from "../package/build.ts";
import { pack } from "../package/pack.ts";
import { install, PEERS, pinned } from "../package/user.ts";
import { LOADS } from "../support/register.ts";
import { provide, type Runtime, RUNTIMES } from "./npm.ts";
import type { Subject } from "./suite_program.ts";

/** How many cases are under way on a broker: they wait more than they work. */
const AT_ONCE = 6;

/** How many transports are under way, where nothing is killed and restarted. */
const TRANSPORTS_AT_ONCE = 4;

const PROGRAM = new URL("suite_program.ts", import.meta.url);

/** What Node says of calls that it will not have for long. */
const DEPRECATION = /^.*DeprecationWarning: .*$/gm;

/** The program's one import of a file of this project. */
const STANDING_STILL = "../support/standing_still.ts";

/** A transport, and what the suite must know of its broker. */
interface Row extends Partial<Subject> {
  readonly transport: string;
  /** As in `DASHI_TEST_<NAME>_URL`; without one it is in the process. */
  readonly broker?: string;
  /** The URL: of the broker's, or of a name that is in use nowhere else. */
  at?(broker: string): string;
  /** The least versions, where they are later than README's. */
  readonly least?: Partial<Record<Runtime["name"], string>>;
}

const LEASE = { visibilityTimeout: 2000 };

const ROWS: readonly Row[] = [
  { transport: "memory", at: () => "memory://", hasOwnClock: true },
  { transport: "amqp", broker: "AMQP" },
  { transport: "amqp_client", broker: "AMQP" },
  { transport: "redis", broker: "REDIS", shortLease: LEASE },
  { transport: "beanstalk", broker: "BEANSTALK" },
  {
    transport: "mongodb",
    broker: "MONGODB",
    shortLease: LEASE,
  },
  { transport: "couchdb", broker: "COUCHDB", shortLease: LEASE },
  { transport: "postgres", broker: "POSTGRES", shortLease: LEASE },
  { transport: "nats", broker: "NATS", shortLease: { ackWait: 2000 } },
  {
    transport: "sqlite",
    at: (name) => `sqlite:${name}.db`,
    shortLease: LEASE,
    least: { node: "22.13.0" },
  },
  {
    transport: "sqs",
    broker: "SQS",
    shortLease: LEASE,
    at: (url) => `${url}/?wait_time_seconds=1&get_wait_time_seconds=0`,
    largestBody: 140 * 1024,
    unordered:
      "a standard queue of SQS keeps order and place as well as it can",
  },
];

/** What became of the cases of a transport. */
interface Tally {
  passed: number;
  readonly failed: string[];
  /** How many were left out, by the reason. */
  readonly skipped: Map<string, number>;
}

async function main(args: readonly string[]): Promise<number> {
  const isQuick = args.includes("--quick");
  const version = args.find((each) => /^\d/.test(each));
  const named = args.filter((each) => /^[a-z]/.test(each));
  const runtimes = (["node", "bun"] as const).filter((name) =>
    named.includes(name)
  ).map((name) => {
    const least = RUNTIMES.find((each) => each.name === name)?.version ?? "";
    return { name, version: version ?? least };
  });
  if (runtimes.length === 0) throw new Error("Name a runtime: node or bun");
  const rows = ROWS.filter(({ transport }) =>
    named.length === runtimes.length || named.includes(transport)
  );
  const folder = await Deno.makeTempDir({ prefix: "dashi-suite-" });
  const brokers = await provideBrokers(
    (line) => console.error(`# ${line}`),
    BROKERS.filter(({ name }) => rows.some(({ broker }) => broker === name)),
  );
  const total = { passed: 0, failed: 0, skipped: 0 };
  try {
    const program = await installProgram(folder);
    const commands = new Map<string, Promise<readonly string[]>>();
    const commandOf = (runtime: Runtime) => {
      const name = `${runtime.name} ${runtime.version}`;
      const known = commands.get(name) ?? provide(runtime);
      commands.set(name, known);
      return known;
    };
    const tell = (row: Row, { name, version }: Runtime, tally: Tally) => {
      const skipped = sum(tally.skipped.values());
      total.passed += tally.passed;
      total.failed += tally.failed.length;
      total.skipped += skipped;
      console.log(
        `${row.transport} by ${name} ${version}: ${tally.passed} passed, ${tally.failed.length} failed, ${skipped} left out`,
      );
      for (const each of tally.failed) console.log(`  FAILED ${each}`);
      for (const [reason, count] of tally.skipped) {
        console.log(`  ${count} left out: ${reason}`);
      }
    };
    const run = async (row: Row, wanted: Runtime) => {
      const runtime = later(wanted, row);
      const given = row.broker === undefined
        ? `${folder}/${runtime.name}`
        : brokers.env[`DASHI_TEST_${row.broker}_URL`];
      if (given === undefined) {
        const skipped = new Map([[`there is no ${row.broker}`, 1]]);
        return tell(row, runtime, { passed: 0, failed: [], skipped });
      }
      const command = [...await commandOf(runtime), program];
      tell(row, runtime, await runSuite(command, row, given, isQuick));
    };
    const all = rows.flatMap((row) =>
      runtimes.map((each) => [row, each] as const)
    );
    const left = all.values();
    const lanes = isQuick ? TRANSPORTS_AT_ONCE : 1;
    await Promise.all(Array.from({ length: lanes }, async () => {
      for (const [row, each] of left) await run(row, each);
    }));
  } finally {
    await brokers.stop();
    await Deno.remove(folder, { recursive: true });
  }
  const { passed, failed, skipped } = total;
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

/** Installs the package, and puts the program beside it. */
async function installProgram(folder: string): Promise<string> {
  const tarball = await pack(`${folder}/dist`);
  await install(`${folder}/user`, tarball, ...pinned(...PEERS));
  const program = `${folder}/user/suite.mjs`;
  const source = await Deno.readTextFile(PROGRAM);
  const beside = source.replace(STANDING_STILL, "./standing_still.mjs");
  await Deno.writeTextFile(program, toScript("suite.ts", beside));
  await Deno.writeTextFile(
    `${folder}/user/standing_still.mjs`,
    toScript(
      "standing_still.ts",
      await Deno.readTextFile(new URL(STANDING_STILL, import.meta.url)),
    ),
  );
  return program;
}

/** The version that a transport needs, where a runtime's is earlier. */
function later(runtime: Runtime, { least }: Row): Runtime {
  const version = least?.[runtime.name] ?? runtime.version;
  const isLater =
    version.localeCompare(runtime.version, "en", { numeric: true }) > 0;
  return isLater ? { ...runtime, version } : runtime;
}

async function runSuite(
  [command = "", ...args]: readonly string[],
  row: Row,
  given: string,
  isQuick: boolean,
): Promise<Tally> {
  const at = (url: string) => row.at?.(url) ?? url;
  const own = isQuick ? undefined : await startOwn(row);
  const subject: Subject = {
    transport: row.transport,
    url: at(given),
    ownUrl: own && at(own.url),
    largestBody: row.largestBody,
    unordered: row.unordered,
    hasOwnClock: row.hasOwnClock ?? row.broker !== undefined,
    shortLease: row.shortLease,
    atOnce: AT_ONCE,
    isQuick,
    without: isQuick
      ? [[LOADS.source, "it loads the broker, for deno task test"]]
      : [],
  };
  const child = spawn(command, [...args, JSON.stringify(subject)]);
  const said: string[] = [];
  child.stderr.on("data", (bytes) => said.push(String(bytes)));
  const ended = once(child, "close");
  const tally: Tally = { passed: 0, failed: [], skipped: new Map() };
  try {
    for await (const line of createInterface(child.stdout)) {
      const [, word, rest = ""] = /^(\w+)(?: (.*))?$/.exec(line) ?? [];
      if (word === "ok") tally.passed++;
      else if (word === "again") {
        console.log(`  ${row.transport}: run again, alone: ${rest}`);
      } else if (word === "FAILED") {
        tally.failed.push(rest.replaceAll("\t", "\n"));
      } else if (word === "skipped") {
        tally.skipped.set(rest, (tally.skipped.get(rest) ?? 0) + 1);
      } else if (word === "RESTART") {
        await own?.restart();
        child.stdin.write("\n");
      }
    }
    const [code, signal] = await ended;
    if (code !== 0) {
      tally.failed.push(
        `the process ended with ${signal ?? code}: ${said.join("")}`,
      );
    }
    // They are for the library, and its users would be told.
    tally.failed.push(...said.join("").match(DEPRECATION) ?? []);
  } finally {
    child.kill("SIGKILL");
    await own?.stop();
  }
  return tally;
}

/** Starts a server that is restarted, where the broker is a program of this machine. */
async function startOwn(
  { broker }: Row,
): Promise<LastingServer | undefined> {
  if (broker === undefined) return undefined;
  const found = lastingServer(broker);
  return "start" in found ? await found.start() : undefined;
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((all, each) => all + each, 0);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
