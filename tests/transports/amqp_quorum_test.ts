import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { test } from "../support/amqp.ts";

const COUNT = 300;

test("a quorum queue takes, gives, requeues and tries again like any other (row 18)", async ({ url }) => {
  await using connection = createConnection(url);
  const queue = new Queue(`dashi-quorum-${crypto.randomUUID()}`, {
    arguments: { "x-queue-type": "quorum" },
  });
  const { name: routingKey } = queue;
  const producer = connection.producer<number>({ declare: [queue] });
  await Promise.all(
    Array.from(
      { length: COUNT },
      (_, i) => producer.publish(i, { routingKey }),
    ),
  );
  const seen: number[] = [];
  let requeued = 0;
  const consumer = connection.consumer<number>(queue, { prefetch: 20 });
  await consumer.run(async (message) => {
    if (message.payload === 7 && requeued < 2) {
      requeued++;
      return await message.requeue();
    }
    seen.push(message.payload);
    if (seen.length === COUNT) void consumer.cancel();
  }, { concurrency: 5 });
  assertEquals(new Set(seen).size, COUNT);
  assertEquals(requeued, 2);

  let attempts = 0;
  await producer.publish(1, { routingKey });
  const retrying = connection.consumer<number>(queue);
  await retrying.run(() => {
    if (++attempts < 3) throw new Error("not yet");
    void retrying.cancel();
  }, { retry: { attempts: 5, backoff: 0 } });
  assertEquals(attempts, 3);
  const channel = await connection.channel();
  assertEquals(await channel.deleteQueue(routingKey), 0);
});
