// deno-lint-ignore-file no-console no-top-level-await -- a program
/**
 * Compares two checkouts by the processor time of a message:
 * `deno task pairs BEFORE AFTER [URL] [--pairs=15] [--rounds=8] [--count=N]`.
 *
 * A pair is a process of each, which take turns: one works while the other waits, for a
 * fraction of a second, so that what else the machine does meets both alike. Processor time
 * is that of the process, its threads included, and not the clock's. What a process does
 * before it is warm is left out.
 */
import { parseArgs } from "node:util";
import { median } from "./measure.ts";

const JOBS = ["publish", "run", "iterate"] as const;
type Job = typeof JOBS[number];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: "string", default: "15" },
    rounds: { type: "string", default: "8" },
    count: { type: "string" },
    bytes: { type: "string", default: "1024" },
  },
});
const [before, after, url = "memory://pairs"] = positionals;
if (before === undefined || after === undefined) {
  console.error(
    "usage: pairs BEFORE AFTER [URL]: the folders of two checkouts",
  );
  Deno.exit(2);
}
const pairs = Number(values.pairs);
const rounds = Number(values.rounds);
const isLocal = url.startsWith("memory:");
const count = Number(values.count ?? (isLocal ? 20_000 : 5000));

/** So many messages of each job are left out three times: until then a process compiles. */
const WARM = Math.min(10_000, 2 * count);

/** A process of one checkout. */
class Side {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(folder: string) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--config",
        `${folder}/deno.json`,
        new URL("pairs_child.ts", import.meta.url).pathname,
        folder,
        url,
        String(values.bytes),
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout
      .pipeThrough(new TextDecoderStream())
      .getReader();
  }

  /** Has it do a job so often; returns its microseconds a message. */
  async take(job: Job, count: number): Promise<number> {
    await this.#writer.write(new TextEncoder().encode(`${job} ${count}\n`));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("a process ended before its turn was over");
      this.#rest += value;
    }
    const [line = "", ...rest] = this.#rest.split("\n");
    this.#rest = rest.join("\n");
    return Number(line);
  }

  async end(): Promise<void> {
    await this.#writer.close();
    await this.#process.status;
  }
}

/** The cost of each job on both sides: the lower quartile of its rounds, for what else the machine does only adds to one. */
type Pair = Record<Job, readonly [before: number, after: number]>;

async function measure(folders: readonly [string, string]): Promise<Pair> {
  const sides = folders.map((each) => new Side(each));
  const times = new Map<string, number[]>();
  try {
    for (const side of sides) {
      for (const job of ["run", "iterate", "run"] as const) {
        await side.take("publish", WARM);
        await side.take(job, WARM);
      }
    }
    for (let round = 0; round < rounds; round++) {
      const all = [...sides.entries()];
      const order = round % 2 === 0 ? all : all.reverse();
      for (const job of ["publish", "run", "publish", "iterate"] as const) {
        for (const [which, side] of order) {
          const time = await side.take(job, count);
          const key = `${job} ${which}`;
          times.set(key, [...times.get(key) ?? [], time]);
        }
      }
    }
  } finally {
    await Promise.all(sides.map((side) => side.end()));
  }
  const costOf = (job: Job, which: 0 | 1) =>
    lowerQuartile(times.get(`${job} ${which}`) ?? []);
  const of = (job: Job) => [costOf(job, 0), costOf(job, 1)] as const;
  return { publish: of("publish"), run: of("run"), iterate: of("iterate") };
}

const found: Pair[] = [];
for (let i = 0; i < pairs; i++) {
  console.error(`pair ${i + 1} of ${pairs}`);
  // Each begins first half of the time.
  if (i % 2 === 0) found.push(await measure([before, after]));
  else {
    const { publish, run, iterate } = await measure([after, before]);
    found.push({
      publish: turned(publish),
      run: turned(run),
      iterate: turned(iterate),
    });
  }
}
console.log(
  `${url}, ${values.bytes} bytes, ${pairs} pairs of ${rounds} rounds of ${count}; above 1 the second is faster`,
);
for (const job of JOBS) {
  const logs = found.map((each) => Math.log(each[job][0] / each[job][1]));
  const { mean, error } = estimate(logs);
  const cost = (side: 0 | 1) =>
    median(found.map((each) => each[job][side])).toFixed(2);
  console.log(
    `  ${job.padEnd(8)} ${Math.exp(mean).toFixed(3)}, 95 % ${
      Math.exp(mean - error).toFixed(3)
    } to ${Math.exp(mean + error).toFixed(3)}; ${cost(0)} and ${
      cost(1)
    } µs a message`,
  );
}

function lowerQuartile(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 4)] ?? 0;
}

function turned([a, b]: Pair[Job]): Pair[Job] {
  return [b, a];
}

/** The mean, and how far it may be off, by Student's t for 14 degrees of freedom, or more. */
function estimate(
  list: readonly number[],
): { readonly mean: number; readonly error: number } {
  const mean = list.reduce((sum, each) => sum + each, 0) / list.length;
  const squares = list.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / Math.max(1, list.length - 1));
  return { mean, error: 2.145 * deviation / Math.sqrt(list.length) };
}
