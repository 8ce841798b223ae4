// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Runs the tests: `deno task test [files]`. Finds or starts the brokers, runs
 * `deno test` with them, and prints a closing line `N passed, N failed, N skipped`.
 */

import { provideBrokers } from "./brokers/mod.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** How many files would be under way by default. */
const JOBS = navigator.hardwareConcurrency;

async function main(files: readonly string[]): Promise<number> {
  const brokers = await provideBrokers((line) => console.error(`# ${line}`));
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--doc",
      "--parallel",
      "--permit-no-files",
      "-A",
      ...(files.length > 0
        ? files
        : ["mod.ts", "README.md", "url", "virtual", "codec", "messaging"]
          .concat("transports", "tests")),
    ],
    cwd: ROOT,
    // Most of a test is waiting for a broker: twice as many files as cores are under way.
    env: { DENO_JOBS: String(2 * JOBS), ...brokers.env, DASHI_TEST: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const onSignal = () => child.kill("SIGTERM");
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  try {
    const summary = await show(child.stdout);
    const { code } = await child.status;
    const { passed, failed, ignored } = summary;
    // A run that ended before its summary has failed, whatever it counted.
    const broken = code !== 0 && failed === 0 ? 1 : 0;
    console.log(
      `${passed} passed, ${failed + broken} failed, ${ignored} skipped`,
    );
    return code;
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
    await brokers.stop();
  }
}

interface Summary {
  passed: number;
  failed: number;
  ignored: number;
}

/** Shows what the runner prints, and reads its last line. */
async function show(output: ReadableStream<Uint8Array>): Promise<Summary> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const chunk of output) {
    await Deno.stdout.write(chunk);
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-2000);
  }
  // deno-lint-ignore no-control-regex -- the colours of a terminal
  const plain = tail.replace(/\x1b\[[0-9;]*m/g, "");
  const count = (word: string) =>
    Number(
      new RegExp(`(\\d+) ${word}`).exec(
        plain.slice(plain.search(/(ok|FAILED) \| \d+ passed/)),
      )?.[1] ?? 0,
    );
  return {
    passed: count("passed"),
    failed: count("failed"),
    ignored: count("ignored"),
  };
}

if (import.meta.main) Deno.exit(await main(Deno.args));
