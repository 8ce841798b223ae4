// deno-lint-ignore-file no-console no-top-level-await -- a program of its own
/**
 * The conformance suite on the memory transport, on a narrow store, and on a transport
 * that restarts, many cases at once: each is a world of its own. Ends with the first case
 * that fails; and fails if something is left over that keeps the process alive.
 *
 * `conform.ts [--list=FILE] [--reach=FILE]`: the cases that the first file names, in its
 * order, a line each; into the second goes which blocks each case reached, by `reach.ts`.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { SYSTEM_CLOCK } from "../../async/clock.ts";
import type { Transport } from "../../transports/transport.ts";
import { createTransport } from "../../transports/memory/mod.ts";
import { parseUrl } from "../../url/mod.ts";
import { CONFORMANCE_CASES, type Harness, whyNot } from "../conformance/mod.ts";
import { CAPABILITIES, restartable } from "../support/restartable.ts";
import { narrowTransport } from "../support/stores.ts";
import type { Reach } from "./reach.ts";

/** How many are under way. */
const AT_ONCE = 10;

/** After the last case, milliseconds in which all must have ended. */
const LAST = 3000;

/** The name for code that is reached outside of all cases, or in an unknown one. */
const NOBODYS = "";

/** A broker for each case: on a shared one whatever wakes others would wake those of a mistake, too. */
const SUBJECTS: readonly (readonly [
  name: string,
  make: () => Transport,
  url: (number: number) => string,
])[] = [
  ["memory", createTransport, (number) => `memory://mutants-${number}`],
  ["narrow", narrowTransport, () => "narrow://"],
];

interface Run {
  readonly name: string;
  run(): Promise<void>;
}

/** Which case is under way, whatever it waits for. */
const cases = new AsyncLocalStorage<string>();

async function main(): Promise<void> {
  const reachFile = argumentOf("reach");
  const blocks = new Map<string, Set<string>>();
  if (reachFile !== undefined) {
    globalThis.reached = (block) => {
      const name = cases.getStore() ?? NOBODYS;
      const known = blocks.get(name);
      if (known === undefined) blocks.set(name, new Set([block]));
      else known.add(block);
    };
  }
  const runs = await chosen(await runsOf());
  const times = new Map<string, number>();
  const left = runs[Symbol.iterator]();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const { name, run } of left) {
      const began = performance.now();
      try {
        await cases.run(name, run);
      } catch (error) {
        // A case that fails on a busy machine has still reached the code that it reaches.
        if (reachFile === undefined) fail(name, error);
        await cases.run(name, run).catch(() => {});
      }
      times.set(name, performance.now() - began);
      console.log(`ok ${name}`); // whoever looks on sees that it goes on
    }
  }));
  if (reachFile !== undefined) {
    const reaches = [NOBODYS, ...times.keys()].map((name): [string, Reach] => [
      name,
      {
        blocks: [...blocks.get(name) ?? []],
        milliseconds: times.get(name) ?? 0,
      },
    ]);
    await Deno.writeTextFile(
      reachFile,
      JSON.stringify(Object.fromEntries(reaches)),
    );
  }
  console.log(`${runs.length} passed`);
  // It keeps nothing alive itself: what does is something that was left.
  const timer = setTimeout(
    () => fail("the end", "the process does not end by itself"),
    LAST,
  );
  Deno.unrefTimer(timer);
}

/** Returns the runs that a file names, in its order; all without a file. */
async function chosen(runs: readonly Run[]): Promise<readonly Run[]> {
  const list = argumentOf("list");
  if (list === undefined) return runs;
  const byName = new Map(runs.map((run) => [run.name, run]));
  const names = (await Deno.readTextFile(list)).split("\n");
  return names.flatMap((name) => byName.get(name) ?? []);
}

async function runsOf(): Promise<Run[]> {
  const runs: Run[] = [];
  for (const [subject, make, urlOf] of SUBJECTS) {
    const harnessOf = (number: number): Harness => ({
      transport: make(),
      url: urlOf(number),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
    const first = harnessOf(0);
    const { transport, url } = first;
    const connection = await transport.connect(parseUrl(url), {
      heartbeat: 0,
      transportOptions: {},
      operationTimeout: 5000,
      owner: "mutants",
      clock: SYSTEM_CLOCK,
      deadline: performance.now() + 5000,
    });
    const { capabilities } = connection;
    await connection[Symbol.asyncDispose]();
    for (const [i, test] of CONFORMANCE_CASES.entries()) {
      const harness = harnessOf(i + 1);
      if (whyNot(test, harness, capabilities) !== undefined) continue;
      const name = `${subject}: ${test.name}`;
      runs.push({ name, run: () => test.run(harness) });
    }
  }
  for (const test of CONFORMANCE_CASES) {
    if (!test.restarts) continue;
    const { transport, restart } = restartable();
    const harness: Harness = {
      transport,
      url: "restartable://",
      restart,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    if (whyNot(test, harness, CAPABILITIES) !== undefined) continue;
    const name = `restartable: ${test.name}`;
    runs.push({ name, run: () => test.run(harness) });
  }
  return runs;
}

function argumentOf(name: string): string | undefined {
  const start = `--${name}=`;
  return Deno.args.find((each) => each.startsWith(start))?.slice(start.length);
}

function fail(name: string, error: unknown): never {
  const [first = ""] = String(error).split("\n");
  console.log(`FAILED ${name}\n  ${first}`);
  Deno.exit(1);
}

if (import.meta.main) {
  globalThis.addEventListener("unhandledrejection", (event) => {
    fail("a rejection that nobody waits for", event.reason);
  });
  await main();
}
