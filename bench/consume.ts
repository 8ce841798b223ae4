import type { Connection } from "@dashi/mq";
import { type Contender, rate } from "./measure.ts";

/** How many may be unacked at once. */
export const PREFETCH = 200;

/** The two ways to consume and ack so many messages of a queue. */
export function consumers(
  connection: Connection,
  queue: string,
): readonly Contender[] {
  return [
    { name: "dashi, run()", run: (count) => byRun(connection, queue, count) },
    {
      name: "dashi, for await",
      run: (count) => byLoop(connection, queue, count),
    },
  ];
}

async function byRun(
  connection: Connection,
  queue: string,
  count: number,
): Promise<number> {
  await using consumer = connection.consumer(queue, { prefetch: PREFETCH });
  let seen = 0;
  const began = performance.now();
  await consumer.run((message) => {
    if (message.body.length === 0) throw new Error("empty");
    if (++seen === count) void consumer.cancel();
  }, { concurrency: PREFETCH });
  return rate(count, began);
}

async function byLoop(
  connection: Connection,
  queue: string,
  count: number,
): Promise<number> {
  const consumer = connection.consumer(queue, { prefetch: PREFETCH });
  let seen = 0;
  const began = performance.now();
  for await (const message of consumer) {
    void message.ack();
    if (++seen === count) break;
  }
  const result = rate(count, began);
  await consumer[Symbol.asyncDispose]();
  return result;
}
