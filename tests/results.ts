/** Reads what a run of the tests came to, and counts it by broker. */

/** How one test ended. */
export interface TestResult {
  /** Its file, from the project's folder. */
  readonly file: string;
  readonly name: string;
  /** Seconds. */
  readonly time: number;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it failed: the error with its stack. */
  readonly reason?: string;
}

/** How many tests ended in which way. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** A broker, as the closing table shows it. */
export interface BrokerLine {
  readonly title: string;
  readonly version: string;
  /** How it was had. */
  readonly how: string;
  /** Seconds until it served. */
  readonly seconds: number;
  /** Which tests are its own: by the file's name, else by the test's. */
  readonly tests: RegExp;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&apos;": "'",
};

/** Reads the report that `deno test --junit-path` writes. Steps are parts of their test, and not counted. */
export function readReport(xml: string): TestResult[] {
  const cases = xml.matchAll(
    /<testcase name="([^"]*)" classname="([^"]*)" time="([^"]*)"[^>]*>\s*(?:(<skipped|<failure|<error)[^>]*>([^<]*))?/g,
  );
  const results: TestResult[] = [];
  const seen = new Map<string, { reason?: string }>();
  for (const [, name = "", file = "", time = "", mark, text = ""] of cases) {
    const result: TestResult & { reason?: string } = {
      file: plain(file).replace(/^\.\//, ""),
      name: plain(name),
      time: Number(time),
      outcome: mark === undefined
        ? "passed"
        : mark === "<skipped"
        ? "skipped"
        : "failed",
      ...mark === "<failure" || mark === "<error"
        ? { reason: plain(text).trim() }
        : {},
    };
    const parent = parentOf(result, seen);
    if (parent !== undefined) {
      if (result.reason !== undefined) {
        parent.reason = `${parent.reason}\n${result.name}\n${result.reason}`;
      }
      continue;
    }
    seen.set(`${result.file} ${result.name}`, result);
    results.push(result);
  }
  return results;
}

/** Counts results. */
export function count(results: Iterable<TestResult>): Counts {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { outcome } of results) counts[outcome]++;
  return counts;
}

/** The closing table: a line for each broker, and one for the tests that need none. */
export function brokerTable(
  results: readonly TestResult[],
  lines: readonly BrokerLine[],
): string {
  const own = new Map<BrokerLine | undefined, TestResult[]>();
  for (const result of results) {
    const line = ownerOf(result, lines);
    const list = own.get(line);
    if (list === undefined) own.set(line, [result]);
    else list.push(result);
  }
  const numbers = (line: BrokerLine | undefined) => {
    const { passed, failed, skipped } = count(own.get(line) ?? []);
    return [passed, failed, skipped].map(String);
  };
  const rows = [
    ["Broker", "Version", "Had", "Seconds", "Passed", "Failed", "Skipped"],
    ...lines.map((line) => [
      line.title,
      line.version,
      line.how,
      line.seconds.toFixed(1),
      ...numbers(line),
    ]),
    ["(none)", "", "", "", ...numbers(undefined)],
  ];
  const widths =
    rows[0]?.map((_, column) =>
      Math.max(...rows.map((row) => row[column]?.length ?? 0))
    ) ?? [];
  return rows.map((row) =>
    row.map((cell, column) =>
      column < 3
        ? cell.padEnd(widths[column] ?? 0)
        : cell.padStart(widths[column] ?? 0)
    ).join("  ").trimEnd()
  ).join("\n");
}

/** The tests that took longest, one a line: their files are often those of a helper that has registered them. */
export function slowestTests(
  results: readonly TestResult[],
  most: number,
): string {
  return results.toSorted((a, b) => b.time - a.time).slice(0, most)
    .map(({ name, time }) => `${time.toFixed(1).padStart(7)} s  ${name}`)
    .join("\n");
}

/**
 * The tests that failed, each with the first lines of its error. A run prints thousands of
 * lines, and whoever sees only their end reads here which tests it was.
 */
export function failures(
  results: readonly TestResult[],
  lines: number,
): string {
  return results.filter(({ outcome }) => outcome === "failed")
    .map(({ file, name, reason = "" }) =>
      [
        `${file} => ${name}`,
        ...reason.split("\n").slice(0, lines).map((line) => `    ${line}`),
      ].join("\n").trimEnd()
    ).join("\n");
}

function ownerOf(
  { file, name }: TestResult,
  lines: readonly BrokerLine[],
): BrokerLine | undefined {
  // The one of FerretDB is one of MongoDB, too: the longer match is the nearer one.
  const best = (text: string) => {
    let found: BrokerLine | undefined;
    let longest = 0;
    for (const line of lines) {
      const length = line.tests.exec(text)?.[0].length ?? 0;
      if (length > longest) [found, longest] = [line, length];
    }
    return found;
  };
  return best(file.replace(/^.*\//, "")) ?? best(name);
}

/** The test that a result is a step of. */
function parentOf<T>(
  { file, name }: TestResult,
  tests: ReadonlyMap<string, T>,
): T | undefined {
  for (
    let end = name.indexOf(" > ");
    end >= 0;
    end = name.indexOf(" > ", end + 1)
  ) {
    const parent = tests.get(`${file} ${name.slice(0, end)}`);
    if (parent !== undefined) return parent;
  }
  return undefined;
}

function plain(text: string): string {
  return text.replace(/&\w+;/g, (entity) => ENTITIES[entity] ?? entity)
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));
}
