import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { Collector, patience, soon, until } from "../../conformance/support.ts";
import { test } from "../../support/amqp.ts";

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

test("a dead letter that is put back has been delivered nowhere yet", async ({ url }) => {
  await using connection = createConnection(url);
  const [dead, jobs] = ["dead", "jobs"].map((name) =>
    new Queue(`dashi-quorum-${name}-${crypto.randomUUID()}`, {
      type: name === "dead" ? "quorum" : "classic",
    })
  );
  if (dead === undefined || jobs === undefined) return;
  await connection.declare(jobs);
  await connection.send(dead, 7, { headers: { tenant: 7 } });
  await using handle = connection.queue(dead);
  // A quorum queue has what is put back a moment later.
  const wait = patience("the dead letter");
  for (let back = 0; back < 2; await wait()) {
    const letter = await handle.get();
    if (letter === undefined) continue;
    await letter.requeue();
    back++;
  }
  await until(
    async () => (await connection.redrive(dead, { to: jobs })).moved === 1,
    "the dead letter, moved",
  );
  await using there = connection.queue(jobs);
  const message = await there.get();
  assertEquals(message?.headers, { tenant: 7 });
  await message?.ack();
  for (const { name } of [dead, jobs]) await connection.delete(name);
});

/** So many messages of a queue whose broker gives up what came back twice. */
const [FEW, LIMIT] = [5, 2];

function limitedQueue(): Queue<number> {
  return new Queue(`dashi-limited-${crypto.randomUUID()}`, {
    arguments: { "x-queue-type": "quorum", "x-delivery-limit": LIMIT },
  });
}

test("requeues do not use up the limit of a quorum queue's deliveries", async ({ url }) => {
  await using connection = createConnection(url);
  const queue = limitedQueue();
  await connection.send(queue, 7);
  let requeued = 0;
  for await (const message of connection.consumer(queue)) {
    if (requeued === 4 * LIMIT) {
      await message.ack();
      break;
    }
    requeued++;
    await message.requeue();
  }
  await connection.queue(queue.name).delete();
});

test("messages that closed consumers had fetched do not use up that limit either", async ({ url }) => {
  await using connection = createConnection(url);
  const queue = limitedQueue();
  for (let i = 0; i < FEW; i++) await connection.send(queue, i);
  for (let round = 0; round < 4 * LIMIT; round++) {
    const channel = await connection.channel();
    const collector = new Collector();
    await channel.consume(queue.name, collector.deliver, {
      prefetch: 2 * FEW,
      ...soon(),
    });
    const came = await collector.take(FEW);
    const bodies = came.map(({ body }) => new TextDecoder().decode(body));
    assertEquals(bodies.toSorted(), ["0", "1", "2", "3", "4"], `${round}`);
    await channel[Symbol.asyncDispose]();
  }
  await connection.queue(queue.name).delete();
});
