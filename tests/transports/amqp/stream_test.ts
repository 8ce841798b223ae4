import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { test } from "../../support/amqp.ts";
import { Proxy } from "../../support/proxy.ts";

const COUNT = 40;

test("a stream is read on from behind what was settled, when its connection was lost", async ({ url }) => {
  const queue = new Queue(`dashi-stream-${crypto.randomUUID()}`, {
    arguments: { "x-queue-type": "stream" },
  });
  const { name: routingKey } = queue;
  await using connection = createConnection(url);
  const producer = connection.producer<number>({ declare: [queue] });
  for (let i = 0; i < COUNT; i++) await producer.publish(i, { routingKey });
  await using proxy = Proxy.to(url);
  await using reading = createConnection(proxy.urlOf(url), {
    onUnhandled: () => {},
  });
  const seen: number[] = [];
  const held: (() => Promise<void>)[] = [];
  const consumer = reading.consumer<number>(queue.name, {
    prefetch: 10,
    arguments: { "x-stream-offset": "first" },
  });
  for await (const message of consumer) {
    seen.push(message.payload);
    if (seen.length === 30) {
      // In hand, and not settled: the one before it is.
      held.push(() => message.ack());
      proxy.cut();
      continue;
    }
    await message.ack().catch(() => {}); // it may be the one that the cut meets
    if (message.payload === COUNT - 1) break;
  }
  assertEquals(held.length, 1);
  // Messages that were fetched before the loss was noticed were handed over too.
  const again = seen.lastIndexOf(29);
  const before = seen.slice(0, again);
  assert(before.length >= 30 && before.length <= COUNT, `${seen}`);
  assertEquals(before, Array.from(before, (_, i) => i));
  // From the one that was in hand on, and each of the rest.
  assertEquals(
    seen.slice(again),
    Array.from({ length: COUNT - 29 }, (_, i) => i + 29),
  );
  const channel = await connection.channel();
  await channel.deleteQueue(routingKey);
});

test("a message of a stream that fails is called for again here, and parked; nothing is put into the stream", async ({ url }) => {
  const queue = new Queue(`dashi-stream-${crypto.randomUUID()}`, {
    arguments: { "x-queue-type": "stream" },
  });
  const { name } = queue;
  await using connection = createConnection(url, { onUnhandled: () => {} });
  for (const payload of ["bad", "good"]) await connection.send(queue, payload);
  const seen: unknown[] = [];
  const consumer = connection.consumer<string>(name, {
    prefetch: 10,
    arguments: { "x-stream-offset": "first" },
  });
  await consumer.run(({ payload, attempt }) => {
    seen.push([payload, attempt]);
    if (payload === "bad") throw new Error("no");
    void consumer.cancel();
  }, { retry: { attempts: 3, backoff: 0 } });
  assertEquals(seen, [["bad", 1], ["bad", 2], ["bad", 3], ["good", 1]]);
  const failed = connection.queue<string>(`${name}.failed`);
  const letter = await failed.get();
  assertEquals([letter?.payload, letter?.deaths[0]?.queue], ["bad", name]);
  await letter?.ack();
  const channel = await connection.channel();
  for (const each of [name, `${name}.failed`]) await channel.deleteQueue(each);
});
