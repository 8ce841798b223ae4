import type { Connection, Queue } from "../mod.ts";
import type { Context } from "./context.ts";
import type { Column } from "./output.ts";
import { ownQueue } from "./own_queues.ts";
import { INTERRUPTED } from "./terminal.ts";

/** What is measured. */
export interface BenchOptions {
  /** How many messages. */
  readonly messages: number;
  /** Bytes of each. */
  readonly size: number;
  /** How many publishes, and acks, are on their way at once. */
  readonly concurrency: number;
}

/** What one part of it came to. */
interface Measured {
  readonly part: "publish" | "consume" | "one by one";
  readonly messages: number;
  readonly perSecond: number;
  /** Milliseconds that half of them took at most. */
  readonly p50: number;
  /** And all but one in a hundred. */
  readonly p99: number;
}

const COLUMNS: readonly Column<Measured>[] = [
  { head: "PART", text: ({ part }) => part },
  { head: "MESSAGES", text: ({ messages }) => messages, isNumber: true },
  {
    head: "PER SECOND",
    text: ({ perSecond }) => perSecond,
    isNumber: true,
  },
  { head: "P50 MS", text: ({ p50 }) => p50.toFixed(2), isNumber: true },
  { head: "P99 MS", text: ({ p99 }) => p99.toFixed(2), isNumber: true },
];

/** So many go one by one at most. */
const ONE_BY_ONE = 200;

/** How long a queue stays whose process was killed, ms, where queues expire. */
const EXPIRES = 600_000;

/**
 * Measures how fast messages come into a queue of its own, and out of it.
 *
 * @param context The context.
 * @param options How many messages, of which size, and how many at once.
 * @returns 0; 130 if it was interrupted. The queue is deleted in any case.
 */
export async function bench(
  context: Context,
  options: BenchOptions,
): Promise<number> {
  const { output, terminal, connection } = context;
  const { messages, size, concurrency } = options;
  await connection.connect();
  const queue = ownQueue(connection, "bench", EXPIRES);
  const controller = new AbortController();
  const unlisten = terminal.onInterrupt?.(() => controller.abort());
  const { signal } = controller;
  terminal.tell(
    `dashi: ${messages} messages of ${size} bytes, ${concurrency} at once, through queue "${queue.name}" of ${connection.asUri()}; Ctrl-C ends it, and deletes the queue`,
  );
  try {
    await connection.declare(queue);
    const body = crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536)));
    const payload = new Uint8Array(size).map((_, i) =>
      body[i % body.length] ?? 0
    );
    const parts = [
      () => publishAll(connection, queue, payload, options, signal),
      () => consumeAll(connection, queue, options, signal),
      () => oneByOne(connection, queue, payload, messages, signal),
    ];
    const rows: Measured[] = [];
    for (const each of parts) rows.push(await each());
    await output.print(rows, COLUMNS);
    return 0;
  } catch (error) {
    if (!signal.aborted) throw error;
    return INTERRUPTED;
  } finally {
    await connection.delete(queue);
    unlisten?.();
  }
}

/** Publishes them, and waits for the broker's word for each. */
async function publishAll(
  connection: Connection,
  queue: Queue,
  payload: Uint8Array,
  { messages, concurrency }: BenchOptions,
  signal: AbortSignal,
): Promise<Measured> {
  await using producer = connection.producer({ queue });
  const took: number[] = [];
  let begun = 0;
  const began = performance.now();
  await Promise.all(Array.from({ length: concurrency }, async () => {
    while (begun++ < messages) {
      signal.throwIfAborted();
      const sent = performance.now();
      await producer.publish(payload);
      took.push(performance.now() - sent);
    }
  }));
  return measured("publish", took, performance.now() - began);
}

/** Takes them, and acks each: what is timed is the ack. */
async function consumeAll(
  connection: Connection,
  queue: Queue,
  { messages, concurrency }: BenchOptions,
  signal: AbortSignal,
): Promise<Measured> {
  const consumer = connection.consumer(queue, {
    prefetch: concurrency,
    signal,
  });
  const took: number[] = [];
  let taken = 0;
  const acks: Promise<void>[] = [];
  const began = performance.now();
  for await (const message of consumer) {
    const sent = performance.now();
    const acked = message.ack().then(() => {
      took.push(performance.now() - sent);
    });
    acked.catch(() => {}); // it is awaited below
    acks.push(acked);
    if (++taken === messages) break;
  }
  await Promise.all(acks);
  signal.throwIfAborted();
  return measured("consume", took, performance.now() - began);
}

/** Publishes one, and waits until it is handed over, before the next: what a message takes on its way through an idle queue. */
async function oneByOne(
  connection: Connection,
  queue: Queue,
  payload: Uint8Array,
  messages: number,
  signal: AbortSignal,
): Promise<Measured> {
  await using producer = connection.producer({ queue });
  const consumer = connection.consumer(queue, { signal });
  const took: number[] = [];
  const began = performance.now();
  let sent = began;
  const send = () => {
    sent = performance.now();
    return producer.publish(payload);
  };
  let publishing = send();
  for await (const message of consumer) {
    took.push(performance.now() - sent);
    await Promise.all([message.ack(), publishing]);
    if (took.length === Math.min(messages, ONE_BY_ONE)) break;
    publishing = send();
  }
  signal.throwIfAborted();
  return measured("one by one", took, performance.now() - began);
}

function measured(
  part: Measured["part"],
  took: readonly number[],
  ms: number,
): Measured {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number) =>
    round(sorted[Math.ceil(sorted.length * share) - 1] ?? 0);
  return {
    part,
    messages: sorted.length,
    perSecond: Math.round(sorted.length / ms * 1000),
    p50: at(0.5),
    p99: at(0.99),
  };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
