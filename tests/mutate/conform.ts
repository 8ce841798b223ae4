// deno-lint-ignore-file no-console no-top-level-await -- a program of its own
/**
 * The conformance suite on the memory transport and on a narrow store, many cases at
 * once: each is a world of its own. Ends with the first case that fails; and fails if
 * something is left over that keeps the process alive.
 *
 * `conform.ts [--times=FILE] [--only=NAME] [--without=NAME] [--skip=SUBJECT]`: the cases that took least
 * go first, by what the file says; where there is none, it is written.
 */

import { SYSTEM_CLOCK } from "../../async/clock.ts";
import type { Transport } from "../../transports/transport.ts";
import { createTransport } from "../../transports/memory/mod.ts";
import { parseUrl } from "../../url/mod.ts";
import { CONFORMANCE_CASES, type Harness, whyNot } from "../conformance/mod.ts";
import { CAPABILITIES, restartable } from "../support/restartable.ts";
import { narrowTransport } from "../support/stores.ts";

/** How many are under way. */
const AT_ONCE = 10;

/** After the last case, milliseconds in which all must have ended. */
const LAST = 3000;

const SUBJECTS: readonly (readonly [string, Transport, url: string])[] = [
  ["memory", createTransport(), "memory://mutants"],
  ["narrow", narrowTransport(), "narrow://"],
];

interface Run {
  readonly name: string;
  run(): Promise<void>;
}

async function main(): Promise<void> {
  const [only] = argumentsOf("only");
  const without = argumentsOf("without");
  const skipped = argumentsOf("skip");
  const [path = ""] = argumentsOf("times");
  const known: Record<string, number> | undefined = await Deno.readTextFile(
    path,
  )
    .then((text) => JSON.parse(text), () => undefined);
  const runs = (await runsOf())
    .filter(({ name }) => only === undefined || name === only)
    .filter(({ name }) => !skipped.some((each) => name.startsWith(`${each}: `)))
    .filter(({ name }) => !without.includes(name));
  if (known !== undefined) {
    runs.sort((a, b) => (known[a.name] ?? 0) - (known[b.name] ?? 0));
  }
  const times: Record<string, number> = {};
  const left = runs[Symbol.iterator]();
  // One by one where their times are taken.
  const length = path !== "" && known === undefined ? 1 : AT_ONCE;
  await Promise.all(Array.from({ length }, async () => {
    for (const { name, run } of left) {
      const began = performance.now();
      try {
        await run();
      } catch (error) {
        fail(name, error);
      }
      console.log(`ok ${name}`); // whoever looks on sees that it goes on
      times[name] = performance.now() - began;
    }
  }));
  if (path !== "" && known === undefined) {
    await Deno.writeTextFile(path, JSON.stringify(times));
  }
  console.log(`${runs.length} passed`);
  // It keeps nothing alive itself: what does is something that was left.
  const timer = setTimeout(
    () => fail("the end", "the process does not end by itself"),
    LAST,
  );
  Deno.unrefTimer(timer);
}

async function runsOf(): Promise<Run[]> {
  const runs: Run[] = [];
  for (const [subject, transport, url] of SUBJECTS) {
    const harness: Harness = {
      transport,
      url,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
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
    for (const test of CONFORMANCE_CASES) {
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

function argumentsOf(name: string): string[] {
  const start = `--${name}=`;
  return Deno.args.filter((each) => each.startsWith(start))
    .map((each) => each.slice(start.length));
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
