/** Ordered queues, which RabbitMQ has not: an exchange that finds the partition of a key. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  Exchange,
  NotFoundError,
  PreconditionFailedError,
  Queue,
  UnroutableError,
  UnsupportedError,
} from "@dashi/mq";
import { take } from "../../conformance/stage.ts";
import { arrives, until } from "../../conformance/support.ts";
import { test } from "../../support/amqp.ts";
import {
  counts,
  inOrder,
  KEYS,
  ordered,
  PARTITIONS,
  publishAll,
  takeAll,
  testQueue,
} from "../../support/amqp_ordered.ts";

testQueue(
  "an ordered queue is an exchange and its partitions, and takes what others publish there",
  async (queue, connection) => {
    await connection.declare(queue);
    const producer = connection.producer<number>({
      exchange: `${queue.name}.keys`,
    });
    const all: Promise<void>[] = [];
    for (let i = 0; i < 3; i++) {
      for (const key of KEYS) {
        all.push(producer.publish(i, { headers: { "x-key": key } }));
      }
    }
    await Promise.all(all);
    const found = await counts(connection, queue);
    assertEquals(found.reduce((a, b) => a + b), 3 * KEYS.length);
    assert(found.filter((each) => each > 0).length > 1, `${found}`);
    assertEquals((await connection.queueStatus(queue)).messageCount, 24);
    assertEquals(await takeAll(connection, queue, 24), inOrder(3));
  },
);

testQueue(
  "a program that knows an ordered queue by its name alone publishes to it, counts, takes, empties and deletes it",
  async (queue, connection, { url }) => {
    await connection.declare(queue);
    {
      await using byName = createConnection(url);
      await publishAll(byName, queue.name, 5);
      assertEquals(await takeAll(connection, queue, 40), inOrder(5));
    }
    {
      await using byName = createConnection(url);
      await byName.producer().publish(1, { routingKey: queue.name });
      assertEquals(await takeAll(connection, queue, 1), { "": [1] });
    }
    await publishAll(connection, queue, 3);
    {
      await using byName = createConnection(url);
      const consumer = byName.consumer<number>(queue.name, { prefetch: 30 });
      const seen: Record<string, number[]> = {};
      const running = consumer.run(({ key = "", payload }) => {
        (seen[key] ??= []).push(payload);
        if (Object.values(seen).flat().length === 24) void consumer.cancel();
      });
      await arrives(running, "all messages");
      assertEquals(seen, inOrder(3));
    }
    await publishAll(connection, queue, 1);
    {
      await using byName = createConnection(url);
      const { messageCount } = await byName.queueStatus(queue.name);
      assertEquals(messageCount, 8);
    }
    {
      await using byName = createConnection(url);
      const message = await byName.queue<number>(queue.name).get();
      assertEquals(message?.payload, 0);
      await message?.requeue();
    }
    {
      await using byName = createConnection(url);
      assertEquals(await byName.purge(queue.name), 8);
    }
    await publishAll(connection, queue, 1);
    await using byName = createConnection(url);
    assertEquals(await byName.delete(queue.name), 8);
    await assertRejects(
      () => byName.producer().publish(1, { routingKey: queue.name, key: "a" }),
      UnroutableError,
    );
  },
);

test("a queue with a name so long that none of it can be ordered is published to with a key, and deleted, by its name alone", async ({ url }) => {
  for (const bytes of [250, 251, 255]) {
    const name = `dashi-long-${crypto.randomUUID()}`.padEnd(bytes, "x");
    {
      await using connection = createConnection(url);
      await connection.declare(new Queue(name));
    }
    await using byName = createConnection(url);
    await byName.producer().publish(1, { routingKey: name, key: "a" });
    assertEquals((await byName.queue(name).get())?.payload, 1);
    assertEquals(await byName.delete(name), 0);
    await assertRejects(() => byName.queue(name).get(), NotFoundError);
  }
});

test("an ordered queue whose parts would have no room for their names is refused, and nothing of it declared", async ({ url }) => {
  await using connection = createConnection(url);
  const name = `dashi-long-${crypto.randomUUID()}`.padEnd(249, "x");
  await assertRejects(
    () => connection.declare(new Queue(name, { ordered: true })),
    PreconditionFailedError,
    "2 bytes more than the 255",
  );
  await assertRejects(
    () => connection.check(new Exchange(`${name}.keys`, { type: "headers" })),
    NotFoundError,
  );
  const fits = new Queue(name.slice(0, 247), { ordered: true });
  await connection.declare(fits);
  await connection.delete(fits);
});

testQueue(
  "an ordered queue is bound by whoever declares it, and unbound by its name",
  async (queue, connection, { url }) => {
    const exchange = new Exchange(`dashi-ordered-${crypto.randomUUID()}`, {
      type: "topic",
    });
    await using other = createConnection(url);
    await other.declare(exchange);
    await connection.declare(
      new Queue(queue.name, {
        exchange,
        routingKey: "n.*",
        ordered: { partitions: PARTITIONS },
      }),
    );
    const producer = other.producer<number>({ exchange });
    for (const key of KEYS) {
      await producer.publish(0, { routingKey: "n.x", key, mandatory: true });
    }
    assertEquals(await takeAll(connection, queue, 8), inOrder(1));
    await other.unbind(queue.name, {
      exchange,
      routingKey: "n.*",
      arguments: {},
    });
    await assertRejects(
      () => producer.publish(0, { routingKey: "n.x", mandatory: true }),
      UnroutableError,
    );
    await other.delete(exchange);
  },
);

testQueue(
  "a delayed message comes to the partition of its key, as it was",
  async (queue, connection, { url }) => {
    await connection.declare(queue);
    await using byName = createConnection(url);
    await Promise.all([connection, byName].map(async (each) => {
      const producer = each.producer<string>({ routingKey: queue.name });
      await producer.publish("later", { key: "a", delay: 1000 });
      await producer.publish("now", { key: "a" });
    }));
    const messages = await take(connection.consumer<string>(queue), 4);
    assertEquals(
      messages.map(({ payload, key, deliveryInfo }) => [
        payload,
        key,
        deliveryInfo.exchange,
        deliveryInfo.routingKey,
      ]),
      ["now", "now", "later", "later"].map((
        each,
      ) => [each, "a", "", queue.name]),
    );
    await Promise.all(messages.map((each) => each.ack()));
  },
);

testQueue(
  "dead letters, and parked messages, are redriven into the partition of their key",
  async (queue, connection) => {
    const dead = new Queue(`${queue.name}-dead`, { expires: 60_000 });
    const withDead = new Queue(queue.name, {
      ordered: { partitions: PARTITIONS },
      deadLetter: dead,
    });
    for (
      const [onFailure, from] of [["reject", dead.name], [
        "park",
        dead.name,
      ]] as const
    ) {
      await publishAll(connection, withDead, 2);
      const before = await counts(connection, queue);
      const consumer = connection.consumer<number>(withDead);
      let count = 0;
      const running = consumer.run(() => {
        if (++count === 16) void consumer.cancel();
        throw new RangeError("out of stock");
      }, { retry: false, onFailure });
      await arrives(running, "all messages");
      await until(
        async () => (await connection.queueStatus(from)).messageCount === 16,
        "the dead letters",
      );
      const { moved, kept } = await connection.redrive(from);
      assertEquals([moved, kept], [16, 0]);
      assertEquals(await counts(connection, queue), before);
      assertEquals(await takeAll(connection, withDead, 16), inOrder(2));
    }
    await connection.delete(dead);
  },
);

testQueue(
  "messages are parked in the queue of failed messages of an ordered queue, and redriven",
  async (queue, connection) => {
    await publishAll(connection, queue, 1);
    const consumer = connection.consumer<number>(queue);
    let count = 0;
    const running = consumer.run(() => {
      if (++count === 8) void consumer.cancel();
      throw new RangeError("out of stock");
    }, { retry: false });
    await arrives(running, "all messages");
    const failed = `${queue.name}.failed`;
    const { moved } = await connection.redrive(failed);
    assertEquals(moved, 8);
    assertEquals(await takeAll(connection, queue, 8), inOrder(1));
    await connection.delete(failed);
  },
);

testQueue(
  "a request to an ordered queue is answered",
  async (queue, connection) => {
    await connection.declare(queue);
    const consumer = connection.consumer<number>(queue);
    const serving = consumer.serve(({ payload }) => payload * 2);
    const answers = await Promise.all(
      KEYS.map((key, i) =>
        connection.request<number>(i, { routingKey: queue.name, key })
      ),
    );
    assertEquals(answers, KEYS.map((_, i) => 2 * i));
    await consumer.cancel();
    await serving;
  },
);

testQueue(
  "another number of partitions is refused, and a queue of the name that is not ordered",
  async (queue, connection, { url }) => {
    await connection.declare(queue);
    await using other = createConnection(url);
    await assertRejects(
      () => other.declare(new Queue(queue.name, { ordered: true })),
      PreconditionFailedError,
      `Cannot declare queue "${queue.name}" with 16 partitions: it has ${PARTITIONS}`,
    );
    await publishAll(connection, queue, 1);
    assertEquals(await takeAll(connection, queue, 8), inOrder(1));
    const plain = new Queue(`${queue.name}-plain`, { expires: 60_000 });
    await connection.declare(plain);
    await assertRejects(
      () => other.declare(new Queue(plain.name, { ordered: true })),
      PreconditionFailedError,
      "there is one of that name that is not",
    );
    await connection.delete(plain);
  },
);

test("an ordered queue without a name is refused, and one that is a stream", async ({ url }) => {
  await using connection = createConnection(url);
  await assertRejects(
    () => connection.declare(new Queue("", { ordered: true })),
    UnsupportedError,
    "without a name",
  );
  // A `Queue` refuses that before.
  await using channel = await connection.channel();
  await assertRejects(
    () =>
      channel.declareQueue({
        ...ordered(),
        arguments: { "x-ordered": true, "x-queue-type": "stream" },
      }),
    UnsupportedError,
    "a stream",
  );
});

testQueue(
  "ifUnused and ifEmpty refuse to delete an ordered queue that is used, or has messages",
  async (queue, connection) => {
    await publishAll(connection, queue, 1);
    await assertRejects(
      () => connection.delete(queue, { ifEmpty: true }),
      PreconditionFailedError,
      "it is not empty",
    );
    const consumer = connection.consumer<number>(queue);
    const running = consumer.run(() => {});
    await until(() => consumer.health().healthy, "the consumer");
    assertEquals((await connection.queueStatus(queue)).consumerCount, 1);
    await assertRejects(
      () => connection.delete(queue, { ifUnused: true }),
      PreconditionFailedError,
      "it is in use",
    );
    await consumer.cancel();
    await running;
    await connection.delete(queue, { ifUnused: true, ifEmpty: true });
  },
);
