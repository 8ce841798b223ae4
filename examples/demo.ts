// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Counts the project's own files through a broker: `deno task demo [url]`.
 *
 * One message for each file goes to a topic exchange, its routing key made of the
 * file's path and extension; three consumers, bound by patterns, read and count.
 */

import { createConnection, Exchange, MessagingError, Queue } from "@dashi/mq";

interface FileFound {
  readonly path: string;
}

interface Tally {
  readonly kind: string;
  readonly patterns: readonly string[];
  files: number;
  lines: number;
  words: number;
}

const ROOT = new URL("../", import.meta.url).pathname;
const SKIPPED = new Set([".git", "node_modules", "coverage", ".cache"]);

const files = new Exchange("demo.files", { type: "topic", durable: false });

const tallies: readonly Tally[] = [
  tally("TypeScript", "#.ts"),
  tally("tests", "tests.#"),
  tally("documents", "*.md", "*.*.md", "*.yaml", "*.json"),
];

function tally(kind: string, ...patterns: string[]): Tally {
  return { kind, patterns, files: 0, lines: 0, words: 0 };
}

function queueOf({ kind, patterns }: Tally): Queue {
  return new Queue(`demo.${kind}`, {
    durable: false,
    autoDelete: true,
    bindings: patterns.map((routingKey) => ({
      exchange: files,
      routingKey,
      arguments: {},
    })),
  });
}

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(ROOT + folder)) {
    if (SKIPPED.has(entry.name)) continue;
    const path = folder + entry.name;
    if (entry.isDirectory) yield* walk(`${path}/`);
    else if (entry.isFile) yield path;
  }
}

/** `url/parse.ts` becomes `url.parse.ts`: folders, name and extension are its words. */
function keyOf(path: string): string {
  return path.replaceAll("/", ".");
}

async function main(url: string): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => stop.abort());
  }
  const began = performance.now();
  await using connection = createConnection(url, { name: "dashi demo" });
  const queues = tallies.map(queueOf);
  const expected = new Map<string, number>();
  let published = 0;
  let counted = 0;

  const show = (end = "") => {
    if (!Deno.stdout.isTerminal()) return;
    const line = `\r${published} files published, ${counted} counted${end}`;
    Deno.stdout.writeSync(new TextEncoder().encode(line));
  };

  await connection.declare(queues, { signal: stop.signal });
  const consumers = tallies.map((tally, i) => {
    const consumer = connection.consumer<FileFound>(queues[i] ?? "", {
      prefetch: 50,
    });
    const running = consumer.run(async ({ payload }) => {
      const text = await Deno.readTextFile(ROOT + payload.path);
      tally.files++;
      tally.lines += text.split("\n").length - 1;
      tally.words += text.split(/\s+/).filter((word) => word !== "").length;
      counted++;
      show();
    }, { concurrency: 4, signal: stop.signal });
    return { consumer, running };
  });

  const producer = connection.producer<FileFound>({ exchange: files });
  const sending: Promise<void>[] = [];
  for await (const path of walk("")) {
    if (stop.signal.aborted) break;
    sending.push(producer.publish({ path }, { routingKey: keyOf(path) }));
    published++;
    for (const [i, { patterns }] of tallies.entries()) {
      if (!patterns.some((pattern) => matches(pattern, keyOf(path)))) continue;
      const name = queues[i]?.name ?? "";
      expected.set(name, (expected.get(name) ?? 0) + 1);
    }
    show();
  }
  await Promise.all(sending);

  const total = [...expected.values()].reduce((sum, count) => sum + count, 0);
  while (counted < total && !stop.signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  show("\n\n");
  for (const { consumer, running } of consumers) {
    await consumer.cancel();
    await running;
  }
  printTable(url, performance.now() - began);
}

/** By what the demo shows at the end, what was counted is checked against the patterns themselves. */
function matches(pattern: string, key: string): boolean {
  const expression = pattern
    .replaceAll(".", "\\.")
    .replaceAll("*", "[^.]*")
    .replace(/^#\\\./, "(.*\\.)?")
    .replace(/\\\.#$/, "(\\..*)?");
  return new RegExp(`^${expression}$`).test(key);
}

function printTable(url: string, took: number): void {
  console.log(
    "kind        bound by                     files   lines    words",
  );
  for (const { kind, patterns, ...counts } of tallies) {
    const bound = patterns.length > 2
      ? `${patterns.slice(0, 2).join(" ")} …`
      : patterns.join(" ");
    console.log(
      [
        kind.padEnd(11),
        bound.padEnd(26),
        String(counts.files).padStart(7),
        String(counts.lines).padStart(7),
        String(counts.words).padStart(8),
      ].join(" "),
    );
  }
  const scheme = url.split("://")[0];
  console.log(`\nthrough ${scheme} in ${(took / 1000).toFixed(2)} s`);
}

if (import.meta.main) {
  try {
    await main(Deno.args[0] ?? "memory://demo");
  } catch (error) {
    if (!(error instanceof MessagingError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}
