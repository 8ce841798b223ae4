/** Exchange, queue, consumer and ack in the process. */

import { createConnection, Exchange, Queue } from "@dashi/mq";
import { compare, rate } from "./measure.ts";

const BODY = new Uint8Array(16);

/** Measures `memory://`, one message in and one out, and batches. */
export async function benchMemory(): Promise<void> {
  await using connection = createConnection("memory://bench");
  const exchange = new Exchange("bench", { type: "direct" });
  const queue = new Queue("bench", { exchange, routingKey: "k" });
  const producer = connection.producer({ exchange, declare: [queue] });
  const options = { routingKey: "k" };
  const run = async (count: number, work: "run" | "for await") => {
    await using consumer = connection.consumer(queue, { prefetch: 1000 });
    let seen = 0;
    const began = performance.now();
    const consuming = work === "run"
      ? consumer.run(() => {
        if (++seen === count) void consumer.cancel();
      }, { concurrency: 100 })
      : (async () => {
        for await (const message of consumer) {
          void message.ack();
          if (++seen === count) break;
        }
      })();
    for (let i = 0; i < count; i += 500) {
      const sent: Promise<void>[] = [];
      for (let j = 0; j < 500; j++) sent.push(producer.publish(BODY, options));
      await Promise.all(sent);
    }
    await consuming;
    return rate(count, began);
  };
  await compare("memory: exchange, queue, consumer and ack, 16 B", [
    { name: "for await", run: (count) => run(count, "for await") },
    { name: "run()", run: (count) => run(count, "run") },
  ], { count: 200_000, rounds: 5 });
}
