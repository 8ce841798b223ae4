/** A copy of the project in which one source is changed at a time, and the suites that look for it. */

import { applied, type Mutant } from "./operators.ts";

/** Milliseconds in which no test of a suite comes to its end: then it hangs, which is noticed. */
const SILENCE = 30_000;

/** What the copy needs of the project. */
const PARTS = ["async", "codec", "messaging", "model", "transports", "url"]
  .concat("virtual", "tests", "examples", "mod.ts", "deno.json", "deno.lock");

/** The tests of one process, with what an author of a transport runs. */
export type Suite = "cases" | "units";

/** Files of unit tests that need no broker, beside those of `tests/virtual` and `tests/messaging`. */
const UNITS = /^(store|router|envelope|ripener|memory_)\w*_test\.ts$/;

/** What came of one mutant. */
export interface Outcome {
  readonly noticed: boolean;
  /** The first test that failed, or that it hung. */
  readonly by: string;
  readonly seconds: number;
}

/** What is told of a suite that comes to no end. */
const HANGS = `no test ended for ${SILENCE / 1000} s`;

interface Failed {
  /** The test; `undefined` where it was none. */
  readonly name?: string;
  readonly why: string;
}

/** A copy of the project. */
export class Tree implements AsyncDisposable {
  readonly #path: string;
  readonly #units: readonly string[];

  private constructor(path: string, units: readonly string[]) {
    this.#path = path;
    this.#units = units;
  }

  /** Copies the project. */
  static async of(root: string): Promise<Tree> {
    const path = await Deno.makeTempDir({ prefix: "dashi-mutants-" });
    for (const part of PARTS) {
      await copy(`${root}/${part}`, `${path}/${part}`);
    }
    // What hangs is noticed sooner.
    await edit(`${path}/tests/conformance/support.ts`, [
      ["PATIENCE = 15_000", "PATIENCE = 10_000"],
      ["CASE_PATIENCE = 90_000", "CASE_PATIENCE = 25_000"],
    ]);
    // `conform.ts` runs them, many at once.
    await edit(`${path}/tests/support/register.ts`, [
      ["of CONFORMANCE_CASES)", "of CONFORMANCE_CASES.slice(0, 0))"],
    ]);
    return new Tree(path, await unitsOf(path));
  }

  /** Tries a mutant, or the project as it is. */
  async try(mutant: Mutant | undefined): Promise<Outcome> {
    const began = performance.now();
    const restore = mutant === undefined
      ? undefined
      : await change(`${this.#path}/${mutant.file}`, mutant);
    try {
      // The likeliest first.
      const suites: Suite[] = mutant?.file.startsWith("virtual/")
        ? ["units", "cases"]
        : ["cases", "units"];
      for (const suite of suites) {
        const by = await this.#notice(suite, mutant?.file ?? "");
        if (by === undefined) continue;
        return { noticed: true, by, seconds: secondsSince(began) };
      }
      return { noticed: false, by: "", seconds: secondsSince(began) };
    } finally {
      await restore?.();
    }
  }

  /**
   * Which test notices it. Only one that fails again, alone, has: others may have
   * failed because the machine was busy.
   */
  async #notice(suite: Suite, file: string): Promise<string | undefined> {
    const without: string[] = [];
    for (;;) {
      const failed = await this.#run(suite, file, { without });
      if (failed === undefined) return undefined;
      const { name, why } = failed;
      if (name === HANGS) return `${suite}: ${name}`;
      const only = name === "the end" ? undefined : name;
      const again = await this.#run(suite, file, { only, without });
      if (again !== undefined) return `${suite}: ${name ?? ""} ${why}`;
      if (only !== undefined) without.push(only);
      if (without.length > 5) return undefined;
    }
  }

  async #run(
    suite: Suite,
    file: string,
    { only, without }: {
      only?: string | undefined;
      without: readonly string[];
    },
  ): Promise<Failed | undefined> {
    const args = suite === "cases"
      ? ["run", "-A", "--no-check", "tests/mutate/conform.ts"].concat(
        `--times=${this.#path}/times.json`,
        // What users hold is the same above any store.
        file.startsWith("messaging/") ? ["--skip=narrow"] : [],
        only === undefined ? [] : `--only=${only}`,
        without.map((name) => `--without=${name}`),
      )
      : ["test", "-A", "--no-check", "--fail-fast"].concat(
        only === undefined ? [] : ["--filter", only],
        this.#unitsOf(file),
      );
    const child = new Deno.Command("nice", {
      args: ["-n", "10", Deno.execPath(), ...args],
      cwd: this.#path,
      clearEnv: true,
      env: { ...kept(), NO_COLOR: "1" },
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
    if (hangs) return { name: HANGS, why: "" };
    if (success) return undefined;
    const lines = text.split("\n");
    const at = lines.findIndex((line) => line.startsWith("FAILED "));
    if (suite === "cases" && at >= 0) {
      const name = (lines[at] ?? "").slice("FAILED ".length);
      return { name, why: (lines[at + 1] ?? "").trim().slice(0, 200) };
    }
    const line = lines.find((line) => line.includes(" ... FAILED"));
    const [name] = line?.split(" ... FAILED") ?? [];
    if (name !== undefined) return { name, why: "" };
    const why = (await told).split("\n")
      .find((line) => line.startsWith("error"));
    return { why: why?.slice(0, 200) ?? "it ended" };
  }

  /** The unit tests that are about a file, of all where there is none. */
  #unitsOf(file: string): readonly string[] {
    const [folder = ""] = file.split("/");
    const areas = folder === "virtual" ? ["virtual", "transports"] : [folder];
    return this.#units.filter((unit) =>
      areas.some((area) => unit.startsWith(`tests/${area}`))
    );
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

async function unitsOf(path: string): Promise<string[]> {
  const units = ["tests/virtual", "tests/messaging"];
  for await (const { name } of Deno.readDir(`${path}/tests/transports`)) {
    if (UNITS.test(name) && name !== "memory_test.ts") {
      units.push(`tests/transports/${name}`);
    }
  }
  return units.sort();
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
