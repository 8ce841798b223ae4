/** A copy of the project in which one source is changed at a time, and the suites that look for it. */

import { applied, type Mutant } from "./operators.ts";
import { type Reach, type Reaches, telling } from "./reach.ts";

/** Milliseconds in which no test of a suite comes to its end: then it hangs, which is noticed. */
const SILENCE = 120_000;

/** How many files of unit tests are asked at once what they reach: most of their time they wait. */
const AT_ONCE = 4;

/** The parts of the project that the copy needs. */
const PARTS = ["async", "codec", "messaging", "model", "testing", "transports"]
  .concat("telemetry", "url", "virtual", "tests", "examples", "mod.ts")
  .concat("docs", "deno.json", "deno.lock");

/** The tests that are tried on a mutant, by their names; of units the files. */
export interface Tests {
  readonly cases: readonly string[];
  readonly units: readonly string[];
  /** Cases that are tried when none of the others has noticed it. */
  readonly rest?: readonly string[] | undefined;
  /** The one that noticed it when its function was another: tried before all. */
  readonly first?: string | undefined;
}

/** Folders of unit tests that need no broker. */
const UNITS = ["virtual", "messaging", "transports/store", "transports/memory"];

/** The result of one mutant. */
export interface Outcome {
  readonly noticed: boolean;
  /** The first test that failed, or that it hung. */
  readonly by: string;
  /** Its name, as the tests that are tried have it. */
  readonly test: string;
  readonly seconds: number;
}

/** The report of a suite that does not end. */
const HANGS = `no test ended for ${SILENCE / 1000} s`;

interface Failed {
  /** The name of the failed test. */
  readonly name: string;
  readonly why: string;
  /** The case, or the file of unit tests; `undefined` where it was none of them. */
  readonly test?: string | undefined;
}

/** A copy of the project. */
export class Tree implements AsyncDisposable {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Copies the project. */
  static async of(root: string): Promise<Tree> {
    const path = await Deno.makeTempDir({ prefix: "dashi-mutants-" });
    for (const part of PARTS) {
      await copy(`${root}/${part}`, `${path}/${part}`);
    }
    // A case that hangs is noticed sooner.
    await edit(`${path}/tests/conformance/support.ts`, [
      [" PATIENCE = 30_000", " PATIENCE = 15_000"],
      ["CASE_PATIENCE = 90_000", "CASE_PATIENCE = 60_000"],
    ]);
    // `conform.ts` runs them, many at once.
    await edit(`${path}/tests/support/register.ts`, [
      ["of CONFORMANCE_CASES)", "of CONFORMANCE_CASES.slice(0, 0))"],
    ]);
    return new Tree(path);
  }

  /**
   * Lets each block of the sources tell that it is reached, meanwhile.
   *
   * @param files The sources.
   * @param work What is done meanwhile.
   */
  async telling(
    files: readonly string[],
    work: () => Promise<void>,
  ): Promise<void> {
    const texts = new Map<string, string>();
    for (const file of files) {
      const text = await Deno.readTextFile(`${this.#path}/${file}`);
      texts.set(file, text);
      await Deno.writeTextFile(`${this.#path}/${file}`, telling(file, text));
    }
    try {
      await work();
    } finally {
      for (const [file, text] of texts) {
        await Deno.writeTextFile(`${this.#path}/${file}`, text);
      }
    }
  }

  /** Learns which blocks the cases reach. */
  async reachesOfCases(): Promise<Reaches> {
    const path = `${this.#path}/reach.json`;
    const failed = await this.#runCases(undefined, [`--reach=${path}`]);
    return await this.#read(path, failed);
  }

  /** Learns which blocks files of unit tests reach. */
  async reachesOfUnits(files: readonly string[]): Promise<Reaches> {
    const units: Record<string, Reach> = {};
    const left = files.entries();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (const [i, unit] of left) {
        const path = `${this.#path}/reach-${i}.json`;
        const options = ["--preload=tests/mutate/note_reach.ts"];
        const env = { REACH: path };
        const failed = await this.#runUnits([unit], { options, env });
        units[unit] = await this.#read(path, failed);
      }
    }));
    return units;
  }

  async #read<T>(path: string, failed: Failed | undefined): Promise<T> {
    const text = await Deno.readTextFile(path).catch(() => {
      throw new Error(`${failed?.name} ${failed?.why}`);
    });
    await Deno.remove(path);
    return JSON.parse(text);
  }

  /** Tries a mutant, or the project as it is, with some of the tests. */
  async try(mutant: Mutant | undefined, tests: Tests): Promise<Outcome> {
    const began = performance.now();
    const restore = mutant === undefined
      ? undefined
      : await change(`${this.#path}/${mutant.file}`, mutant);
    const { cases, units, rest = [], first = "" } = tests;
    const byCases = (cases: readonly string[]) => () =>
      this.#notice("cases", cases, (names) => this.#runCases(names));
    const byUnits = (units: readonly string[]) => () =>
      this.#notice("units", units, (names) => this.#runUnits(names));
    // The likeliest first: those of the same room.
    const { file = "" } = mutant ?? {};
    const room = `tests/${file.slice(0, file.lastIndexOf("/"))}/`;
    const isNear = (unit: string) => unit.startsWith(room);
    const suites = [
      byUnits(units.filter(isNear)),
      byCases(cases),
      byUnits(units.filter((unit) => !isNear(unit))),
    ];
    suites.push(byCases(rest));
    const isCase = cases.includes(first) || rest.includes(first);
    if (isCase) suites.unshift(byCases([first]));
    else if (units.includes(first)) suites.unshift(byUnits([first]));
    try {
      for (const suite of suites) {
        const noticed = await suite();
        if (noticed === undefined) continue;
        return { noticed: true, ...noticed, seconds: secondsSince(began) };
      }
      const seconds = secondsSince(began);
      return { noticed: false, by: "", test: "", seconds };
    } finally {
      await restore?.();
    }
  }

  /**
   * Which test notices it. Only one that fails again, alone, has: others may have
   * failed because the machine was busy.
   */
  async #notice(
    suite: string,
    tests: readonly string[],
    run: (tests: readonly string[]) => Promise<Failed | undefined>,
  ): Promise<{ readonly by: string; readonly test: string } | undefined> {
    let left = tests;
    while (left.length > 0) {
      const failed = await run(left);
      if (failed === undefined) return undefined;
      const { name, why, test } = failed;
      const by = `${suite}: ${name} ${why}`;
      if (name === HANGS) return { by, test: "" };
      if (await run(test === undefined ? left : [test]) !== undefined) {
        return { by, test: test ?? "" };
      }
      if (test === undefined) return undefined;
      left = left.filter((each) => each !== test);
    }
    return undefined;
  }

  /** Runs cases, all where none are named. */
  async #runCases(
    names?: readonly string[],
    options: readonly string[] = [],
  ): Promise<Failed | undefined> {
    const list = `${this.#path}/list.txt`;
    if (names !== undefined) await Deno.writeTextFile(list, names.join("\n"));
    const { hangs, success, lines, told } = await this.#run([
      "run",
      "-A",
      "--no-check",
      "tests/mutate/conform.ts",
      ...(names === undefined ? [] : [`--list=${list}`]),
      ...options,
    ]);
    if (hangs) return { name: HANGS, why: "" };
    if (success) return undefined;
    const at = lines.findIndex((line) => line.startsWith("FAILED "));
    if (at < 0) return { name: "", why: told };
    const name = (lines[at] ?? "").slice("FAILED ".length);
    return {
      name,
      why: (lines[at + 1] ?? "").trim().slice(0, 200),
      test: names?.includes(name) ? name : undefined,
    };
  }

  /** Runs files of unit tests. */
  async #runUnits(
    files: readonly string[],
    { options = ["--fail-fast"], env = {} }: {
      readonly options?: readonly string[];
      readonly env?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<Failed | undefined> {
    const { hangs, success, lines, told } = await this.#run(
      ["test", "-A", "--no-check", ...options, ...files],
      env,
    );
    if (hangs) return { name: HANGS, why: "" };
    if (success) return undefined;
    const at = lines.findIndex((line) => line.includes(" ... FAILED"));
    const [name = ""] = lines[at]?.split(" ... FAILED") ?? [];
    const file = lines.slice(0, at).findLast((line) =>
      line.startsWith("running ")
    );
    return {
      name: name.trim(),
      why: at < 0 ? told : "",
      test: files.find((each) => file?.endsWith(`/${each}`)),
    };
  }

  async #run(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<{
    readonly hangs: boolean;
    readonly success: boolean;
    readonly lines: readonly string[];
    /** The output about an error that is no test's. */
    readonly told: string;
  }> {
    const child = new Deno.Command("nice", {
      args: ["-n", "10", Deno.execPath(), ...args],
      cwd: this.#path,
      clearEnv: true,
      env: { ...kept(), ...env, NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let [hangs, text] = [false, ""];
    const end = () => {
      hangs = true;
      child.kill("SIGKILL");
    };
    let timer = setTimeout(end, SILENCE);
    const told = new Response(child.stderr).text();
    for await (
      const part of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
      text += part;
    }
    const { success } = await child.status;
    clearTimeout(timer);
    const error = (await told).split("\n")
      .find((line) => line.startsWith("error"));
    return {
      hangs,
      success,
      lines: text.split("\n"),
      told: error?.slice(0, 200) ?? "it ended",
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#path, { recursive: true });
  }
}

/** All but the brokers' URLs: their tests are not for this. */
function kept(): Record<string, string> {
  const names = ["PATH", "HOME", "DENO_DIR", "TMPDIR", "NPM_CONFIG_REGISTRY"];
  return Object.fromEntries(
    names.map((name) => [name, Deno.env.get(name) ?? ""])
      .filter(([, value]) => value !== ""),
  );
}

/**
 * Lists all unit tests but the suite on memory, whose cases are run by themselves.
 *
 * @param path The project's folder.
 * @returns Their paths in it.
 */
export async function unitsOf(path: string): Promise<readonly string[]> {
  const units: string[] = [];
  for (const folder of UNITS) await addTests(path, `tests/${folder}`, units);
  return units.filter((each) => !each.endsWith("/memory_test.ts")).sort();
}

async function addTests(
  path: string,
  folder: string,
  into: string[],
): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(`${path}/${folder}`)) {
    if (isDirectory) await addTests(path, `${folder}/${name}`, into);
    else if (name.endsWith("_test.ts")) into.push(`${folder}/${name}`);
  }
}

async function change(
  path: string,
  mutant: Mutant,
): Promise<() => Promise<void>> {
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, applied(text, mutant));
  return () => Deno.writeTextFile(path, text);
}

async function edit(
  path: string,
  changes: readonly (readonly [from: string, to: string])[],
): Promise<void> {
  let text = await Deno.readTextFile(path);
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`${path} has no "${from}"`);
    text = text.replace(from, to);
  }
  await Deno.writeTextFile(path, text);
}

async function copy(from: string, to: string): Promise<void> {
  const { isDirectory } = await Deno.stat(from);
  if (!isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    if (name !== ".cache" && name !== "node_modules") {
      await copy(`${from}/${name}`, `${to}/${name}`);
    }
  }
}

function secondsSince(began: number): number {
  return Math.round((performance.now() - began) / 100) / 10;
}
