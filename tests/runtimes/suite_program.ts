// deno-lint-ignore-file no-console no-top-level-await -- a program of its own
/**
 * The conformance suite on one broker, in the runtime that runs this: a program that has
 * the package for npm beside it, and a subject as its argument. It prints a line for each
 * case, and ends by itself. With an errand as its second argument it is the process that
 * is killed.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { spawn } from "node:child_process";
import { Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { createConnection } from "@dashi/mq";
import { inTransaction } from "@dashi/mq/sqlite";
import {
  CONFORMANCE_CASES,
  type ConformanceCase,
  type Harness,
  runKilled,
  type Transport,
  whyNot,
} from "@dashi/mq/conformance";
import { unlessItStoodStill } from "../support/standing_still.ts";

/** A broker to run the suite on, and how. */
export interface Subject {
  /** The entry of the transport. */
  readonly transport: string;
  readonly url: string;
  /** The URL of a server that whoever started this restarts. */
  readonly ownUrl?: string | undefined;
  /** As in the harness. */
  readonly largestBody?: number | undefined;
  /** As in the harness. */
  readonly unordered?: string | undefined;
  readonly hasOwnClock?: boolean | undefined;
  /** Options by which what a killed process held comes back within seconds. */
  readonly shortLease?: Readonly<Record<string, unknown>> | undefined;
  /** How many cases are under way. */
  readonly atOnce: number;
  /** Why cases of such names are left out. */
  readonly without: readonly (readonly [names: string, reason: string])[];
  /** Whether cases that kill, restart or are long are left out. */
  readonly isQuick: boolean;
}

/** The line by which it asks for a restart; the answer is an empty line. */
const RESTART = "RESTART";

/** After the last case, milliseconds in which all must have ended. */
const LAST = 10_000;

/** The case that is under way. */
const CASE = new AsyncLocalStorage<string>();

/** The sockets that this process has opened, and who opened each. */
const OPENED = new Map<Socket, string>();

async function main(subject: Subject): Promise<void> {
  watchSockets();
  const harness = await harnessOf(subject);
  const { transport, url } = harness;
  const connection = createConnection(url, { transport });
  await connection.connect();
  const { capabilities } = connection;
  await connection.close();
  const runs: ConformanceCase[] = [];
  const kills: ConformanceCase[] = [];
  const restarts: ConformanceCase[] = [];
  for (const test of CONFORMANCE_CASES) {
    const reason = whyNot(test, harness, capabilities) ?? later(test, subject);
    if (reason !== undefined) console.log(`skipped ${reason}`);
    else if (test.restarts) restarts.push(test);
    else if (test.kills) kills.push(test);
    else runs.push(test);
  }
  const harnessFor = ({ kills }: ConformanceCase): Harness => ({
    ...harness,
    restart: undefined,
    transportOptions: kills ? subject.shortLease : undefined,
    // A broker of its own, for one that looks at all queues is heard by others.
    url: url === "memory://" ? `${url}${crypto.randomUUID()}` : url,
  });
  const again: ConformanceCase[] = [];
  const left = runs.values();
  await Promise.all(Array.from({ length: subject.atOnce }, async () => {
    for (const test of left) {
      await CASE.run(test.name, () => test.run(harnessFor(test))).then(
        () => console.log(`ok ${test.name}`),
        (error) => {
          console.log(`again ${test.name}: ${errorLine(error, "message")}`);
          again.push(test);
        },
      );
    }
  }));
  // One that had too little time beside the others holds alone; one that kills starts
  // several processes at once by itself.
  for (const test of [...again, ...kills]) {
    await tell(test, harnessFor(test));
  }
  for (const test of restarts) {
    await tell(test, {
      ...harness,
      url: subject.ownUrl ?? "",
      transportOptions: subject.shortLease,
    });
  }
  process.stdin.destroy();
  // It keeps nothing alive itself: what does is something that was left, as by a case that
  // failed in its middle, for want of time.
  setTimeout(() => {
    if (again.length > 0) process.exit(0);
    const left = [
      ...process.getActiveResourcesInfo?.() ?? ["what, it does not tell"],
      // One that has told that it is closed may be open all the same.
      ...[...OPENED].filter(([socket]) => isOpen(socket)).map(([, by]) => by),
    ];
    console.log(
      `FAILED the end: the process does not end by itself, for ${
        left.join(", ").replaceAll("\n", "\t")
      }`,
    );
    process.exit(1);
  }, LAST).unref();
}

/** Node's channel of diagnostics tells of no socket of TLS, and Bun's of none at all. */
function watchSockets(): void {
  const { connect } = Socket.prototype;
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    const { stack = "" } = new Error("opened");
    OPENED.set(this, `a socket of "${CASE.getStore()}": ${stack}`);
    return Reflect.apply(connect, this, args);
  };
}

/** Bun's own socket may be open beneath one that is destroyed. */
function isOpen(socket: Socket): boolean {
  const { _handle } = socket as { _handle?: { readyState?: number } | null };
  return !socket.destroyed || _handle?.readyState === 1;
}

async function tell(test: ConformanceCase, harness: Harness): Promise<void> {
  const run = () => CASE.run(test.name, () => test.run(harness));
  try {
    // Their leases are short, and what is held for longer comes again.
    await (test.kills ? unlessItStoodStill(1000, run) : run());
    console.log(`ok ${test.name}`);
  } catch (error) {
    console.log(`FAILED ${test.name}: ${errorLine(error, "stack")}`);
  }
}

/** An error in one line: tabs stand for the ends of its lines. */
function errorLine(error: unknown, part: "message" | "stack"): string {
  const text = error instanceof Error ? error[part] : undefined;
  return (text ?? String(error)).replaceAll("\n", "\t");
}

function later(test: ConformanceCase, subject: Subject): string | undefined {
  for (const [names, reason] of subject.without) {
    if (new RegExp(names).test(test.name)) return reason;
  }
  const isLong = test.slow || test.kills || test.restarts;
  return isLong && subject.isQuick ? "it is long" : undefined;
}

type Transact = NonNullable<Harness["transact"]>;

/** Transactions of a user's own, by the client that he has. */
const TRANSACT: Readonly<Record<string, (url: string) => Transact>> = {
  postgres: (url) => async (work) => {
    const { default: { Client } } = await import("pg");
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      await client.query("BEGIN");
      const result = await work(client);
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    } finally {
      await client.end();
    }
  },
  sqlite: (url) => async (work) => {
    // Bun looks for what a literal names, be it imported or not.
    const [module, name] = "Bun" in globalThis
      ? ["bun:sqlite", "Database"]
      : ["node:sqlite", "DatabaseSync"];
    const { [name]: Database } = await import(module);
    const database = new Database(url.slice("sqlite:".length));
    try {
      return await inTransaction(database, work);
    } finally {
      database.close();
    }
  },
};

async function harnessOf(subject: Subject): Promise<Harness> {
  const module: { createTransport(): Transport } = await import(
    `@dashi/mq/${subject.transport}`
  );
  return {
    transport: module.createTransport(),
    url: subject.url,
    transact: TRANSACT[subject.transport]?.(subject.url),
    largestBody: subject.largestBody,
    unordered: subject.unordered,
    hasOwnClock: subject.hasOwnClock,
    restart: subject.ownUrl === undefined ? undefined : restart,
    startKilled: (errand) => startKilled(errand),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function restart(): Promise<void> {
  const lines = createInterface(process.stdin);
  console.log(RESTART);
  return new Promise((resolve) =>
    lines.once("line", () => {
      lines.close();
      process.stdin.pause();
      resolve();
    })
  );
}

function startKilled(errand: string): Promise<void> {
  const [, program = "", subject = ""] = process.argv;
  const child = spawn(process.execPath, [program, subject, errand], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (bytes) => said += String(bytes));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (signal === "SIGKILL") return resolve();
      reject(new Error(`The process ended with ${signal ?? code}: ${said}`));
    });
  });
}

const [, , given = "", errand] = process.argv;
const subject: Subject = JSON.parse(given);
if (errand === undefined) {
  await main(subject);
} else {
  const harness = await harnessOf(subject);
  await runKilled(
    { ...harness, transportOptions: subject.shortLease },
    errand,
  );
}
