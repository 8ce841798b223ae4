/** Processes that share a database of SQL, and are killed. */

import { assert } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { unique, until } from "../conformance/support.ts";
import { type Word, Worker } from "./worker.ts";

/** The time after which messages of a killed process go back, ms. */
const OPTIONS = { transportOptions: { visibilityTimeout: 5000 } };

/** How many messages each of the killed producers has confirmed at the least. */
const CONFIRMED = 300;

/** Kills producers and consumers: all that was confirmed arrives, and only what was in hand comes again. */
export async function killProcesses(url: string): Promise<void> {
  const queue = new Queue(unique("kills"));
  await using connection = createConnection(url, OPTIONS);
  await connection.declare(queue);
  const confirmed = new Set<number>();
  const seen = new Map<number, number>();
  let redelivered = 0;
  const prefetch = 20;
  const consume = () =>
    new Worker(
      { mode: "consume", url, queue: queue.name, prefetch, ...OPTIONS },
      ({ got, redelivered: again }: Word) => {
        if (got === undefined) return;
        seen.set(got, (seen.get(got) ?? 0) + 1);
        if (again) redelivered++;
      },
    );
  const publish = (from: number) =>
    new Worker({ mode: "publish", url, queue: queue.name, from }, (word) => {
      if (word.confirmed !== undefined) confirmed.add(word.confirmed);
    });
  let [first, second] = [consume(), consume()];
  try {
    for (let i = 0; i < 2; i++) {
      const from = i * 1_000_000;
      const producer = publish(from);
      await producer.until((word) => word.confirmed === from + CONFIRMED);
      await first.kill();
      await producer.kill();
      [first, second] = [second, consume()];
    }
    await until(
      () => [...confirmed].every((each) => seen.has(each)),
      () =>
        `${
          [...confirmed].filter((each) => !seen.has(each)).length
        } confirmed messages`,
    );
  } finally {
    await Promise.all([first.kill(), second.kill()]);
  }
  assert(confirmed.size >= 2 * CONFIRMED);
  assert(redelivered <= 2 * prefetch, `${redelivered} came again`);
  const twice = [...seen.values()].reduce((sum, times) => sum + times - 1, 0);
  assert(twice <= redelivered, `${twice} of ${redelivered} came twice`);
  await connection.delete(queue);
}
