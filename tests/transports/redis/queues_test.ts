import { assert, assertEquals, assertRejects } from "@std/assert";
import { Exchange, type Message, Queue } from "@dashi/mq";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import { ALL } from "../../support/targets.ts";
import { SLACK } from "../../support/slack.ts";

/** For what is not about the disk. */
const NO_DISK = { arguments: ["--appendonly", "no"] };

/** Takes so many messages, acks them, and says what they were. */
async function take<T>(
  messages: AsyncIterable<Message<T>>,
  count: number,
): Promise<T[]> {
  const taken: T[] = [];
  for await (const message of messages) {
    taken.push(message.payload);
    await message.ack();
    if (taken.length === count) break;
  }
  return taken;
}

test("close() while messages flow in gives back all that was not handled (row 7)", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  const queue = new Queue("closing");
  const producer = connection.producer<number>({ declare: [queue] });
  const publish = (from: number, count: number) =>
    Promise.all(
      Array.from(
        { length: count },
        (_, i) => producer.publish(from + i, { routingKey: queue.name }),
      ),
    );
  await publish(0, 1000);
  const handled: number[] = [];
  for (let i = 0; i < 5; i++) {
    const worker = connectTo(server.url);
    const some = Promise.withResolvers<void>();
    let count = 0;
    const running = worker.consumer<number>(queue).run(async ({ payload }) => {
      await pause(1);
      handled.push(payload);
      if (++count === 50) some.resolve();
    }, { concurrency: 10 });
    const flowing = publish(1000 + i * 100, 100);
    await some.promise;
    await worker.close();
    await running;
    await flowing;
  }
  assertEquals(await raw.number("EXISTS", "unacked", "unacked_index"), 0);
  const rest = 1500 - handled.length;
  assertEquals(await raw.number("LLEN", queue.name), rest);
  const others = await take(connection.consumer<number>(queue), rest);
  const all = [...handled, ...others].sort((a, b) => a - b);
  assertEquals(all, Array.from({ length: 1500 }, (_, i) => i));
});

test("close() returns by its drainTimeout with a server that is silent, and what was in hand comes again (row 7)", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  const queue = new Queue("silent");
  await connection.producer<number>({ declare: [queue] })
    .publish(1, { routingKey: queue.name });
  const worker = connectTo(server.url);
  const iterator = worker.consumer<number>(queue)[Symbol.asyncIterator]();
  const { value } = await iterator.next();
  assertEquals(value?.payload, 1);
  await raw.send("CLIENT", "PAUSE", 1500, "ALL");
  const began = performance.now();
  await worker.close({ drainTimeout: 300 });
  const took = performance.now() - began;
  assert(took < 300 + SLACK, `it took ${took} ms`);
  // Its owner is missed some time: here at once.
  for (const owner of await raw.texts("ZRANGE", "dashi.owners", 0, -1)) {
    await raw.send("ZADD", "dashi.owners", 1, owner);
  }
  await using other = connectTo(server.url);
  assertEquals(await take(other.consumer<number>(queue), 1), [1]);
});

test("a queue that is deleted ends its consumer on another connection within a second (row 14)", async (server) => {
  await using connection = connectTo(server.url);
  await using other = connectTo(server.url);
  const queue = new Queue("deleted");
  await connection.declare([queue]);
  const channel = await connection.channel();
  const { ended } = await channel.consume(queue.name, () => {}, {
    prefetch: 1,
  });
  await pause(100); // it waits
  const deleting = await other.channel();
  const began = performance.now();
  await deleting.deleteQueue(queue.name);
  const reason = await ended;
  const took = performance.now() - began;
  assertEquals(reason.type, "ended-by-broker");
  assert(took < SLACK, `it took ${took} ms`);
});

test("DEL of a queue's lists does its consumer no harm (row 14)", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  const queue = new Queue("emptied");
  const producer = connection.producer<number>({ declare: [queue] });
  const iterator = connection.consumer<number>(queue, { prefetch: 2 })
    [Symbol.asyncIterator]();
  for (let i = 0; i < 5; i++) {
    await producer.publish(i, { routingKey: queue.name });
  }
  const first = (await iterator.next()).value;
  const second = (await iterator.next()).value;
  assertEquals([first?.payload, second?.payload], [0, 1]);
  assertEquals(await raw.number("DEL", queue.name), 1);
  await first?.ack();
  await second?.ack();
  const next = iterator.next();
  await producer.publish(5, { routingKey: queue.name });
  const { value } = await next;
  assertEquals(value?.payload, 5);
  await value?.ack();
  await iterator.return?.();
});

test("FLUSHDB under a consumer: messages that are published after it arrive (rows 14, 21)", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  const exchange = new Exchange("flushed", { type: "direct" });
  const queue = new Queue("flushed", { exchange, routingKey: "k" });
  const producer = connection.producer<number>({ exchange, declare: [queue] });
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const first = iterator.next();
  await producer.publish(1, { routingKey: "k" });
  await (await first).value?.ack();
  const next = iterator.next();
  await raw.send("FLUSHDB");
  await pause(500); // the change is told, and looked at
  await producer.publish(2, { routingKey: "k", mandatory: true });
  const { value } = await next;
  assertEquals(value?.payload, 2);
  await value?.ack();
  await iterator.return?.();
});

for (const order of ["highest-first", "lowest-first"] as const) {
  test(`priorities are served ${order}, in order within equal, on requeue too (row 22)`, async (server) => {
    await using connection = connectTo(server.url, {
      transportOptions: { priorityOrder: order },
    });
    const queue = new Queue("priorities");
    const producer = connection.producer<string>({ declare: [queue] });
    for (const priority of [0, 9, 3, 6, 0, 9, 3, 6]) {
      await producer.publish(String(priority), {
        routingKey: queue.name,
        priority,
      });
    }
    const served = ["0", "0", "3", "3", "6", "6", "9", "9"];
    if (order === "highest-first") served.reverse();
    const held: Message<string>[] = [];
    for await (const message of connection.consumer<string>(queue)) {
      held.push(message);
      if (held.length === 8) break;
    }
    assertEquals(held.map(({ payload }) => payload), served);
    // In any order: each takes its own place again.
    for (const at of [3, 0, 7, 1, 5, 2, 6, 4]) await held[at]?.requeue();
    const again: Message<string>[] = [];
    for await (const message of connection.consumer<string>(queue)) {
      again.push(message);
      await message.ack();
      if (again.length === 8) break;
    }
    assertEquals(again.map(({ payload }) => payload), served);
    assertEquals(
      again.map(({ properties }) => properties.messageId),
      held.map(({ properties }) => properties.messageId),
    );
    await assertRejects(
      () => producer.publish("x", { routingKey: queue.name, priority: 256 }),
      RangeError,
    );
  });
}

/** How many wait for a subscriber. */
const COUNT = ALL ? 10_000 : 2000;

test(
  `fanout: ${COUNT} messages wait for a subscriber who is away, in order (row 23)`,
  async (server) => {
    await using connection = connectTo(server.url);
    const exchange = new Exchange("news", { type: "fanout" });
    const queue = new Queue("reader", { exchange });
    const reader = connectTo(server.url);
    await reader.declare([queue]);
    await reader.close();
    const producer = connection.producer<number>({ exchange });
    await Promise.all(
      Array.from(
        { length: COUNT },
        (_, i) => producer.publish(i, { routingKey: `any.${i}` }),
      ),
    );
    await using again = connectTo(server.url);
    assertEquals(
      await take(again.consumer<number>(queue), COUNT),
      Array.from({ length: COUNT }, (_, i) => i),
    );
  },
  NO_DISK,
);

test("fanout by PUB/SUB: all connections that consume get all messages, whatever the keys (row 23)", async (server) => {
  const options = { transportOptions: { fanout: "pubsub" } };
  await using one = connectTo(server.url, options);
  await using two = connectTo(server.url, options);
  const exchange = new Exchange("shout", { type: "fanout" });
  const iterators = [one, two].map((connection, i) =>
    connection.consumer<number>(
      new Queue(`ear${i}`, { exchange, routingKey: i === 0 ? "" : "bound" }),
    )[Symbol.asyncIterator]()
  );
  const firsts = iterators.map((iterator) => iterator.next());
  await using raw = new Raw(server.port);
  while (await raw.number("PUBSUB", "NUMPAT") < 2) await pause(10);
  const producer = one.producer<number>({ exchange });
  const keys = ["", "a", "a.b", "bound", "x/y"];
  for (const [i, routingKey] of keys.entries()) {
    await producer.publish(i, { routingKey });
  }
  for (const [i, iterator] of iterators.entries()) {
    const seen: number[] = [];
    for (let each = await firsts[i];; each = await iterator.next()) {
      assert(each?.value !== undefined);
      seen.push(each.value.payload);
      await each.value.ack();
      if (seen.length === keys.length) break;
    }
    assertEquals(seen, [0, 1, 2, 3, 4]);
    await iterator.return?.();
  }
});

test(
  "messages that are published at once come whole and in order, in whatever letters",
  async (server) => {
    await using connection = connectTo(server.url);
    const queues = ["ключ", "plain"].map((name) => new Queue(name));
    const producer = connection.producer<number>({ declare: queues });
    const letters = ["a", "é", "€", "😀", ""];
    await Promise.all(
      Array.from({ length: 600 }, (_, i) =>
        producer.publish(i, {
          routingKey: queues[i % 2]?.name ?? "",
          headers: { letters: letters[i % 5] ?? "" },
          correlationId: `${letters[i % 3]}${i}`,
        })),
    );
    for (const [place, queue] of queues.entries()) {
      let next = place;
      for await (const message of connection.consumer<number>(queue)) {
        const { payload, headers, properties } = message;
        assertEquals(payload, next);
        assertEquals(headers.letters, letters[next % 5]);
        assertEquals(properties.correlationId, `${letters[next % 3]}${next}`);
        await message.ack();
        next += 2;
        if (next >= 600) break;
      }
    }
  },
  NO_DISK,
);

test("databases and prefixes are worlds of their own, for lists and for fanout (row 23)", async (server) => {
  await using raw = new Raw(server.port);
  const world = (database: number, globalKeyPrefix: string) =>
    connectTo(server.url.replace(/\d+$/, String(database)), {
      transportOptions: { globalKeyPrefix },
    });
  const worlds = [world(0, ""), world(1, ""), world(0, "a:"), world(0, "b:")];
  const exchange = new Exchange("ex", { type: "fanout" });
  const queues = [new Queue("q"), new Queue("f", { exchange })];
  const iterators = worlds.map((connection) =>
    connection.consumer<string>(queues)[Symbol.asyncIterator]()
  );
  const firsts = iterators.map((iterator) => iterator.next());
  while (await raw.number("PUBSUB", "NUMPAT") < 8) await pause(10);
  for (const [i, connection] of worlds.entries()) {
    const producer = connection.producer<string>();
    await producer.publish(`${i} direct`, { routingKey: "q" });
    await producer.publish(`${i} fanout`, { exchange, routingKey: "k" });
  }
  for (const [i, iterator] of iterators.entries()) {
    const [first, second] = [await firsts[i], await iterator.next()];
    const seen = [first?.value?.payload, second.value?.payload];
    assertEquals(seen.sort(), [`${i} direct`, `${i} fanout`]);
    await first?.value?.ack();
    await second.value?.ack();
    const rest = iterator.next();
    await worlds[i]?.close();
    assertEquals((await rest).done, true);
  }
});

test(
  "no more than prefetch is held over three queues, and a free consumer gets what a busy one has no room for (row 24)",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const queues = ["a", "b", "c"].map((name) => new Queue(name));
    const producer = connection.producer<number>({ declare: queues });
    const prefetch = 7;
    const seen = new Set<number>();
    const all = Promise.withResolvers<void>();
    const consumer = connection.consumer<number>(queues, { prefetch });
    const running = consumer.run(({ payload }) => {
      seen.add(payload);
      if (seen.size === 9000) all.resolve();
    }, { concurrency: 5 });
    let most = 0;
    let watching = true;
    const watch = (async () => {
      while (watching) {
        most = Math.max(most, await raw.number("HLEN", "unacked"));
      }
    })();
    for (let i = 0; i < 9000; i += 300) {
      await Promise.all(
        Array.from(
          { length: 300 },
          (_, j) =>
            producer.publish(i + j, { routingKey: "abc"[j % 3] ?? "a" }),
        ),
      );
    }
    await all.promise;
    watching = false;
    await watch;
    await consumer.close();
    await running;
    assert(most > 0 && most <= 3 * prefetch, `${most} were held`);
    const busy = connection.consumer<number>("a", { prefetch: 1 })
      [Symbol.asyncIterator]();
    await using other = connectTo(server.url);
    await producer.publish(1, { routingKey: "a" });
    const held = (await busy.next()).value;
    const free = other.consumer<number>("a", { prefetch: 1 })
      [Symbol.asyncIterator]();
    const next = free.next();
    await producer.publish(2, { routingKey: "a" });
    const { value } = await next;
    assertEquals([held?.payload, value?.payload], [1, 2]);
    await held?.ack();
    await value?.ack();
    await Promise.all([busy.return?.(), free.return?.()]);
  },
  NO_DISK,
);
