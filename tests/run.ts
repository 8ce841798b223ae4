// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Runs the tests: `deno task test [files]`. Finds or starts the brokers, runs
 * `deno test` with them, and prints a closing line `N passed, N failed, N skipped`.
 */

import { BROKERS, type Brokers, provideBrokers } from "./brokers/mod.ts";
import type { Tally } from "./chaos/ledger.ts";
import { messageTable, readTallies } from "./chaos/tallies.ts";
import {
  brokerTable,
  count,
  failures,
  readReport,
  slowestTests,
  type TestResult,
} from "./results.ts";
import { ALONE, LONGEST, rest } from "./plan.ts";

const ROOT = new URL("..", import.meta.url).pathname;

const CORES = navigator.hardwareConcurrency;

/** Why a broker that takes minutes to install is not there. */
const SLOW = "run it by deno task interop";

/** Minutes that a run of all files may take, several times as long as one takes: a test that waits without end is named then. */
const LIMIT = 60;

/** Somebody has ended the run: nothing more is begun. */
const ending = new AbortController();

const say = (line: string) => console.error(`# ${line}`);

async function main(files: readonly string[]): Promise<number> {
  // Files that need no broker do not wait for them.
  const alone = files.length > 0
    ? undefined
    : runTests(ALONE, { jobs: CORES, quiet: true });
  const isNamed = (row: typeof BROKERS[number]) =>
    files.some((file) => file === "tests/interop" || row.tests.test(file));
  const isThere = (row: typeof BROKERS[number]) => !row.slow || isNamed(row);
  const brokers = await provideBrokers(say, BROKERS.filter(isThere));
  try {
    ending.signal.throwIfAborted();
    const reasons = BROKERS.filter((row) => !isThere(row))
      .map(({ name }) => [`DASHI_TEST_${name}_REASON`, SLOW]);
    const env = { ...Object.fromEntries(reasons), ...brokers.env };
    if (alone === undefined) {
      const run = await runTests(files, {
        jobs: 3 * CORES,
        env,
        isLimited: false,
      });
      return tell([run], [brokers]);
    }
    // Most of a test is waiting for a broker: more is under way than there are cores.
    const others = rest(new URL("..", import.meta.url));
    const runs = await Promise.all([
      alone,
      runTests(LONGEST, { jobs: 2 * CORES + 1, env }),
      runTests(others, { jobs: 2 * CORES + 1, env, quiet: true }),
    ]);
    return tell(runs, [brokers]);
  } finally {
    await alone?.catch(() => {});
    await brokers.stop();
  }
}

interface Run {
  readonly results: readonly TestResult[];
  readonly code: number;
  /** The outcomes of the messages, from those tests that count them. */
  readonly tallies: readonly Tally[];
}

interface RunOptions {
  /** How many files are under way. */
  readonly jobs: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether what it prints comes at its end: two runs would mix their lines. */
  readonly quiet?: boolean;
  /** Whether it is ended after `LIMIT`: what somebody names may take hours. */
  readonly isLimited?: boolean;
}

async function runTests(
  files: readonly string[],
  { jobs, env = {}, quiet = false, isLimited = true }: RunOptions,
): Promise<Run> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  const tallies = await Deno.makeTempFile({ suffix: ".jsonl" });
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--doc",
      // `deno task check` checks types, for half a minute.
      "--no-check",
      // Tests leave much garbage: with more room before it is collected a twentieth of the
      // processor's time is saved.
      "--v8-flags=--min-semi-space-size=16",
      "--parallel",
      "--permit-no-files",
      `--junit-path=${report}`,
      "-A",
      ...files,
    ],
    cwd: ROOT,
    env: {
      DENO_JOBS: String(jobs),
      ...env,
      DASHI_TEST: "1",
      DASHI_TEST_TALLIES: tallies,
    },
    stdin: "null",
    stdout: quiet ? "piped" : "inherit",
    stderr: quiet ? "piped" : "inherit",
  }).spawn();
  const printed = quiet ? child.output() : undefined;
  const onEnding = () => child.kill("SIGTERM");
  ending.signal.addEventListener("abort", onEnding);
  // Interrupted, Deno says which tests were under way.
  const onLimit = () => {
    say(`tests are still under way after ${LIMIT} minutes: they are ended`);
    child.kill("SIGINT");
  };
  const limit = isLimited ? setTimeout(onLimit, LIMIT * 60_000) : undefined;
  try {
    const { code } = await child.status;
    if (printed !== undefined) {
      const { stdout, stderr } = await printed;
      for (const text of [stdout, stderr]) await writeAll(text);
    }
    return {
      code,
      results: readReport(await Deno.readTextFile(report)),
      tallies: readTallies(await Deno.readTextFile(tallies)),
    };
  } finally {
    clearTimeout(limit);
    ending.signal.removeEventListener("abort", onEnding);
    for (const each of [report, tallies]) await Deno.remove(each);
  }
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await Deno.stdout.write(bytes.subarray(at));
  }
}

/** Prints the closing table and the closing line, and returns the exit code. */
function tell(runs: readonly Run[], provided: readonly Brokers[]): number {
  const results = runs.flatMap((run) => run.results);
  const brokers = provided.flatMap((each) => each.brokers);
  const counts = count(results);
  // A run that ended before its report has failed, whatever it counted.
  const broken =
    runs.filter((run) => run.code !== 0 && count(run.results).failed === 0)
      .length;
  const down = brokers.filter((each) => each.failed).length;
  const failed = counts.failed + broken + down;
  console.log(`\nThe slowest tests:\n${slowestTests(results, 10)}`);
  console.log(`\n${brokerTable(results, brokers)}\n`);
  const tallies = runs.flatMap((run) => run.tallies);
  if (tallies.length > 0) console.log(`${messageTable(tallies)}\n`);
  if (counts.failed > 0) console.log(`Failed:\n${failures(results, 12)}\n`);
  for (const { title, failed } of brokers) {
    if (failed) console.log(`${title} did not start: that is a failure`);
  }
  console.log(
    `${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped`,
  );
  return failed > 0 ? 1 : 0;
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => ending.abort());
  }
  Deno.exit(await main(Deno.args));
}
