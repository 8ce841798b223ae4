// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Plants mistakes by rule and asks whether the suites notice them:
 * `deno task mutate [--seed=N] [--sample=N] [--only=PATH] [--jobs=N] [--fresh]`.
 *
 * The mistakes are those of `operators.ts`, in every function of `transports/store/`,
 * `transports/memory/`, `virtual/` and `messaging/`; a sample of them is tried, each in a
 * copy of the project. Mutants that the compiler refuses do not count. The suites are what
 * an author of a transport runs: the conformance suite on the memory transport and on a
 * narrow store, and unit tests that need no broker; of them those that come through the
 * block that is changed, which one run of all, in advance, has told.
 *
 * A run that was ended goes on where it was: what was noticed, or has a reason, stays so
 * while its function is as it was, what survived is tried again when anything has changed.
 * Where a function was changed, the test that noticed its mutant before is tried first.
 * Now and then the tests that have noticed something are run on the project as it is, as a
 * control. Ends with an error if less than nine of ten are noticed, if a control fails, if a
 * survivor has no reason in `survivors.json`, or if a reason there is of a mutant that
 * there is no more.
 */

import { createHash } from "node:crypto";
import { type Mutant, mutantsOf } from "./operators.ts";
import { blockAt, blocksOf, type Reaches, testsOf } from "./reach.ts";
import survivors from "./survivors.json" with { type: "json" };
import { sampleOf } from "./sample.ts";
import { type Outcome, type Tests, Tree, unitsOf } from "./tree.ts";
import { Types } from "./types.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const FOLDERS = ["transports/store", "transports/memory", "virtual"]
  .concat("messaging");
const CACHE = `${ROOT}tests/.cache`;
const RESULTS = `${CACHE}/mutants.jsonl`;
const REACHES = `${CACHE}/mutants_reach.json`;
const REFUSED = `${CACHE}/mutants_refused.json`;

/** The share that must be noticed. */
const LEAST = 0.9;

/** About how many milliseconds a file of unit tests takes before its first test. */
const UNIT_START = 500;

/** After so many mutants those that noticed them are run on the project as it is. */
const CONTROL_EVERY = 25;

/** Why those that were not noticed are none of the suite's holes. */
const REASONS: Readonly<Record<string, string>> = survivors;

/** A line of the results. */
interface Line extends Outcome {
  readonly key: string;
  /** Which text the function around it had. */
  readonly of: string;
  /** Which text all had. */
  readonly ofAll: string;
}

async function main(): Promise<number> {
  const seed = numberOf("seed", 1);
  const count = numberOf("sample", 300);
  const only = argumentOf("only") ?? "";
  const texts = await textsOf(FOLDERS);
  const all = [...texts].flatMap(([file, text]) => mutantsOf(file, text));
  const keys = new Set(all.map(({ key }) => key));
  const stale = Object.keys(REASONS).filter((key) => !keys.has(key));
  for (const key of stale) console.log(`no such mutant any more: ${key}`);
  const refused = await Refused.read(new Types(ROOT, texts));
  const sample = sampleOf(
    all.filter(({ file, key }) => file.startsWith(only) || key === only),
    count,
    seed,
    (mutant) => !refused.has(mutant),
  );
  await refused.keep();
  const functions = new Set(
    sample.map((each) => `${each.file} ${each.function}`),
  );
  console.log(
    `seed ${seed}: ${sample.length} of ${all.length} mutants, in ${functions.size} functions`,
  );
  const tests = await textsOf(["tests"]);
  const ofAll = hashOf([...texts.values(), ...tests.values()].join());
  const before = await readResults();
  const outcomes = new Map<string, Outcome>();
  const left: (readonly [Mutant, of: string])[] = [];
  for (const mutant of sample) {
    const of = hashOf(mutant.around);
    const known = before.get(mutant.key);
    const isExplained = REASONS[mutant.key] !== undefined;
    if (
      known !== undefined && known.of === of &&
      (known.noticed || isExplained || known.ofAll === ofAll)
    ) outcomes.set(mutant.key, known);
    else left.push([mutant, of]);
  }
  if (outcomes.size > 0) console.log(`${outcomes.size} of them known already`);
  const reaches = await readReaches(texts, tests);
  // The cheapest first: what few tests come to is likeliest to be a hole.
  const costs = new Map(left.map(([mutant]) => {
    const tests = testsFor(mutant, texts, reaches, new Map());
    return [mutant, costOf(tests, reaches)];
  }));
  left.sort(([a], [b]) => (costs.get(a) ?? 0) - (costs.get(b) ?? 0));
  const counts = Map.groupBy([...before.values()], ({ test }) => test);
  const noticed = new Map(
    [...counts].map(([test, { length }]) => [test, length]),
  );
  const controls = { tried: 0, failed: 0 };
  let done = outcomes.size;
  const jobs = left[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: numberOf("jobs", 2) }, async () => {
      await using tree = await Tree.of(ROOT);
      const witnesses = new Set<string>();
      const control = async () => {
        const isIn = (tests: Reaches) => (name: string) => name in tests;
        const { noticed, by } = await tree.try(undefined, {
          cases: [...witnesses].filter(isIn(reaches.cases)),
          units: [...witnesses].filter(isIn(reaches.units)),
        });
        witnesses.clear();
        controls.tried++;
        if (!noticed) return;
        controls.failed++;
        console.log(`control FAILED: ${by}`);
      };
      let tried = 0;
      for (const [mutant, of] of jobs) {
        const tests = testsFor(mutant, texts, reaches, noticed);
        const first = before.get(mutant.key)?.test;
        const outcome = await tree.try(mutant, { ...tests, first });
        outcomes.set(mutant.key, outcome);
        const { test } = outcome;
        if (test !== "") {
          noticed.set(test, (noticed.get(test) ?? 0) + 1);
          witnesses.add(test);
        }
        await keep({ key: mutant.key, of, ofAll, ...outcome });
        const word = outcome.noticed ? "noticed " : "SURVIVED";
        console.log(
          `${++done}/${sample.length} ${word} ${outcome.seconds} s  ${mutant.file}:${mutant.line} ${mutant.operator}` +
            (outcome.noticed ? `  (${outcome.by})` : ""),
        );
        if (++tried % CONTROL_EVERY === 0) await control();
      }
      if (witnesses.size > 0) await control();
    }),
  );
  const code = report(sample, outcomes, controls);
  return stale.length > 0 ? 1 : code;
}

function report(
  sample: readonly Mutant[],
  outcomes: ReadonlyMap<string, Outcome>,
  controls: { readonly tried: number; readonly failed: number },
): number {
  const survived = sample.filter(({ key }) => !outcomes.get(key)?.noticed);
  const open = survived.filter(({ key }) => REASONS[key] === undefined);
  for (const each of open) {
    console.log(
      `\n${each.file}:${each.line} ${each.function}\n  ${each.operator}\n` +
        `  - ${each.original}\n  + ${each.replacement}\n  ${each.key}`,
    );
  }
  console.log(
    `\n${row("", "tried", "noticed", "survived", "explained", "share")}`,
  );
  for (const folder of [...FOLDERS, ""]) {
    const of = sample.filter(({ file }) => file.startsWith(folder));
    if (of.length === 0) continue;
    const rest = survived.filter(({ file }) => file.startsWith(folder));
    const noticed = of.length - rest.length;
    const explained = rest.filter(({ key }) => REASONS[key] !== undefined);
    console.log(
      row(
        folder === "" ? "all" : folder,
        ...[of.length, noticed, rest.length, explained.length].map(String),
        `${(100 * noticed / of.length).toFixed(1)} %`,
      ),
    );
  }
  console.log(
    `\ncontrols: ${
      controls.tried - controls.failed
    } of ${controls.tried} passed`,
  );
  const share = 1 - survived.length / Math.max(1, sample.length);
  return share < LEAST || open.length > 0 || controls.failed > 0 ? 1 : 0;
}

/** The sources of folders, by their paths in the project. */
async function textsOf(
  folders: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const folder of folders) {
    for await (const { name, isDirectory } of Deno.readDir(ROOT + folder)) {
      const path = `${folder}/${name}`;
      if (isDirectory && name !== ".cache") {
        for (const [file, text] of await textsOf([path])) texts.set(file, text);
      } else if (name.endsWith(".ts")) {
        texts.set(path, await Deno.readTextFile(ROOT + path));
      }
    }
  }
  return new Map([...texts].sort(([a], [b]) => a < b ? -1 : 1));
}

async function readResults(): Promise<ReadonlyMap<string, Line>> {
  if (Deno.args.includes("--fresh")) return new Map();
  const text = await Deno.readTextFile(RESULTS).catch(() => "");
  const lines: Line[] = text.split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  return new Map(lines.map((line) => [line.key, line]));
}

async function keep(line: Line): Promise<void> {
  await Deno.mkdir(`${ROOT}tests/.cache`, { recursive: true });
  await Deno.writeTextFile(RESULTS, `${JSON.stringify(line)}\n`, {
    append: true,
  });
}

/** Which mutants the compiler refuses, remembered while their source is as it was. */
class Refused {
  readonly #types: Types;
  readonly #known: Record<string, boolean>;

  private constructor(types: Types, known: Record<string, boolean>) {
    this.#types = types;
    this.#known = known;
  }

  static async read(types: Types): Promise<Refused> {
    const text = await Deno.readTextFile(REFUSED).catch(() => "{}");
    return new Refused(types, JSON.parse(text));
  }

  has(mutant: Mutant): boolean {
    return this.#known[`${mutant.key} ${hashOf(mutant.around)}`] ??= this.#types
      .refuse(mutant);
  }

  async keep(): Promise<void> {
    await Deno.mkdir(CACHE, { recursive: true });
    await Deno.writeTextFile(REFUSED, JSON.stringify(this.#known));
  }
}

interface AllReaches {
  readonly cases: Reaches;
  readonly units: Reaches;
}

/** The same as it is kept, with the text that all shared, and those that are of one file's text. */
interface KeptReaches extends AllReaches {
  readonly of: string;
  readonly ofUnits: Readonly<Record<string, string>>;
}

/**
 * Reads the code that the tests reach. A file of unit tests that has changed is measured
 * anew, and all of them if anything else has.
 */
async function readReaches(
  sources: ReadonlyMap<string, string>,
  tests: ReadonlyMap<string, string>,
): Promise<AllReaches> {
  const units = await unitsOf(ROOT);
  const shared = [...tests].filter(([file]) => !units.includes(file));
  const of = hashOf([...sources, ...shared].join());
  const ofUnits = Object.fromEntries(
    units.map((unit) => [unit, hashOf(tests.get(unit) ?? "")]),
  );
  const text = await Deno.readTextFile(REACHES).catch(() => "{}");
  const known: Partial<KeptReaches> = JSON.parse(text);
  const isKnown = known.of === of && known.cases !== undefined;
  const changed = units.filter((unit) =>
    !isKnown || known.ofUnits?.[unit] !== ofUnits[unit]
  );
  const kept = Object.entries(isKnown ? known.units ?? {} : {})
    .filter(([unit]) => units.includes(unit));
  const reaches = { cases: known.cases ?? {}, units: Object.fromEntries(kept) };
  if (isKnown && changed.length === 0) return reaches;
  await using tree = await Tree.of(ROOT);
  await tree.telling([...sources.keys()], async () => {
    if (!isKnown) reaches.cases = await tree.reachesOfCases();
    Object.assign(reaches.units, await tree.reachesOfUnits(changed));
  });
  await Deno.writeTextFile(
    REACHES,
    JSON.stringify({ of, ofUnits, ...reaches }),
  );
  return reaches;
}

/** The tests that a mutant is tried with. */
function testsFor(
  mutant: Mutant,
  texts: ReadonlyMap<string, string>,
  { cases, units }: AllReaches,
  noticed: ReadonlyMap<string, number>,
): Tests {
  const { file, start } = mutant;
  const block = blockAt(file, blocksOf(texts.get(file) ?? ""), start);
  const all = testsOf(cases, block, noticed);
  // The objects that users hold are the same above any store, so some of the tests are
  // enough for most.
  const isLast = (name: string) =>
    file.startsWith("messaging/") && name.startsWith("narrow: ");
  return {
    cases: all.filter((name) => !isLast(name)),
    units: testsOf(units, block, noticed),
    rest: all.filter(isLast),
  };
}

/** About how many milliseconds they take. */
function costOf(
  { cases, units }: Tests,
  reaches: AllReaches,
): number {
  let cost = 0;
  for (const each of cases) cost += reaches.cases[each]?.milliseconds ?? 0;
  for (const each of units) {
    cost += UNIT_START + (reaches.units[each]?.milliseconds ?? 0);
  }
  return cost;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

function numberOf(name: string, otherwise: number): number {
  return Number(argumentOf(name) ?? otherwise);
}

function argumentOf(name: string): string | undefined {
  const start = `--${name}=`;
  return Deno.args.find((each) => each.startsWith(start))?.slice(start.length);
}

function row(first: string, ...rest: string[]): string {
  return first.padEnd(20) + rest.map((each) => each.padStart(11)).join("");
}

if (import.meta.main) Deno.exit(await main());
