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
  readReport,
  slowestFiles,
  type TestResult,
} from "./results.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** Without files on the command line. */
const ALL = ["mod.ts", "README.md", "url", "virtual", "codec", "messaging"]
  .concat("transports", "tests");

/** The files of brokers that take minutes to install. */
const LAST = ["tests/interop/ferretdb_test.ts"];

/** How many files would be under way by default. */
const JOBS = navigator.hardwareConcurrency;

const say = (line: string) => console.error(`# ${line}`);

async function main(files: readonly string[]): Promise<number> {
  const stops: (() => Promise<void>)[] = [];
  const provide = async (rows: typeof BROKERS) => {
    const brokers = await provideBrokers(say, rows);
    stops.push(() => brokers.stop());
    return brokers;
  };
  // A broker that is long in coming holds nobody up: its tests come last.
  const isLate = (row: typeof BROKERS[number]) =>
    files.length === 0 && row.slow === true && !row.isInstalled();
  const late = BROKERS.filter(isLate);
  const inTime = BROKERS.filter((row) => !isLate(row));
  try {
    const brokers = await provide(inTime);
    const lateBrokers = late.length === 0 ? undefined : provide(late);
    const runs = [
      await runTests(
        files.length > 0 ? files : ALL,
        lateBrokers === undefined ? [] : LAST,
        brokers.env,
      ),
    ];
    const all = [brokers];
    if (lateBrokers !== undefined) {
      const rest = await lateBrokers;
      all.push(rest);
      runs.push(await runTests(LAST, [], { ...brokers.env, ...rest.env }));
    }
    return tell(runs, all);
  } finally {
    await Promise.allSettled(stops.map((stop) => stop()));
  }
}

interface Run {
  readonly results: readonly TestResult[];
  readonly code: number;
  /** What became of the messages of those tests that count them. */
  readonly tallies: readonly Tally[];
}

async function runTests(
  files: readonly string[],
  without: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Run> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  const tallies = await Deno.makeTempFile({ suffix: ".jsonl" });
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--doc",
      // `deno task check` checks types, for half a minute.
      "--no-check",
      "--parallel",
      "--permit-no-files",
      `--junit-path=${report}`,
      ...without.map((file) => `--ignore=${file}`),
      "-A",
      ...files,
    ],
    cwd: ROOT,
    // Most of a test is waiting for a broker: twice as many files as cores are under way.
    env: {
      DENO_JOBS: String(2 * JOBS),
      ...env,
      DASHI_TEST: "1",
      DASHI_TEST_TALLIES: tallies,
    },
    stdin: "null",
    stderr: "inherit",
  }).spawn();
  const onSignal = () => child.kill("SIGTERM");
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  try {
    const { code } = await child.status;
    return {
      code,
      results: readReport(await Deno.readTextFile(report)),
      tallies: readTallies(await Deno.readTextFile(tallies)),
    };
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
    for (const each of [report, tallies]) await Deno.remove(each);
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
  console.log(`\nThe slowest files:\n${slowestFiles(results, 10)}`);
  console.log(`\n${brokerTable(results, brokers)}\n`);
  const tallies = runs.flatMap((run) => run.tallies);
  if (tallies.length > 0) console.log(`${messageTable(tallies)}\n`);
  for (const { title, failed } of brokers) {
    if (failed) console.log(`${title} did not start: that is a failure`);
  }
  console.log(
    `${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped`,
  );
  return failed > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
