import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection, Queue, type StreamOffset } from "@dashi/mq";
import { rejectsWith, unique, until } from "../../conformance/support.ts";
import { test } from "../../support/amqp.ts";
import { Proxy } from "../../support/proxy.ts";

const COUNT = 40;

test("a stream is read on from behind what was settled, when its connection was lost", async ({ url }) => {
  const queue = new Queue(`dashi-stream-${crypto.randomUUID()}`, {
    type: "stream",
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
    offset: "first",
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
    type: "stream",
  });
  const { name } = queue;
  await using connection = createConnection(url, { onUnhandled: () => {} });
  for (const payload of ["bad", "good"]) await connection.send(queue, payload);
  const seen: unknown[] = [];
  const consumer = connection.consumer<string>(name, {
    prefetch: 10,
    offset: "first",
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
  assertEquals(letter?.headers["x-error-offset"], 0);
  // It is one of its queue now, with all that queues have.
  await letter?.requeue({ delay: 1000 });
  for await (const later of connection.consumer(`${name}.failed`)) {
    assertEquals(later.payload, "bad");
    await later.ack();
    break;
  }
  const channel = await connection.channel();
  for (const each of [name, `${name}.failed`]) await channel.deleteQueue(each);
});

test("a message of a stream that is rejected or put back costs no connection, and passes", async ({ url }) => {
  const queue = new Queue<number>(`dashi-stream-${crypto.randomUUID()}`, {
    type: "stream",
  });
  const { name } = queue;
  await using connection = createConnection(url);
  for (let i = 0; i < 8; i++) await connection.send(queue, i);
  // One that has declared it, and one that knows its name alone.
  await using other = createConnection(url);
  for (const [reading, by] of [[connection, queue], [other, name]] as const) {
    const events: string[] = [];
    const listening = (async () => {
      for await (const { type } of reading.events()) events.push(type);
    })();
    const seen: number[] = [];
    const consumer = reading.consumer<number>(by, {
      prefetch: 2,
      offset: "first",
    });
    await consumer.run(async (message) => {
      const { payload } = message;
      seen.push(payload);
      if (payload === 1) await message.reject();
      if (payload === 2) await message.requeue();
      if (payload === 3) throw new Error("no");
      if (payload === 7) void consumer.cancel();
    }, { retry: false, onFailure: "reject", onError: () => {} });
    assertEquals(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
    await reading.close();
    await listening;
    assert(!events.includes("lost"), `${events}`);
  }
  await using last = createConnection(url);
  await last.delete(name);
});

test("a message that was in a stream is one of its queue where it is put", async ({ url }) => {
  const queue = new Queue<string>(`dashi-queue-${crypto.randomUUID()}`);
  await using connection = createConnection(url);
  await connection.send(queue, "once", { headers: { "x-stream-offset": 7 } });
  const seen: boolean[] = [];
  const consumer = connection.consumer<string>(queue);
  for await (const message of consumer) {
    seen.push(message.deliveryInfo.redelivered);
    if (seen.length === 2) {
      await message.ack();
      break;
    }
    await message.requeue();
  }
  assertEquals(seen, [false, true]);
  await connection.delete(queue);
});

test("a stream is read from each kind of offset, by each consumer, and acks ask for more", async ({ url }) => {
  const queue = new Queue<number>(`dashi-stream-${crypto.randomUUID()}`, {
    type: "stream",
    maxAge: 3_600_000,
  });
  await using connection = createConnection(url);
  const before = new Date(Date.now() - 60_000);
  for (let i = 0; i < COUNT; i++) await connection.send(queue, i);
  // Fewer than there are: what was acked makes room for the next ones.
  const readAll = async (offset: StreamOffset, autoAck = false) => {
    const seen: number[] = [];
    const consumer = connection.consumer(queue, {
      prefetch: 5,
      offset,
      autoAck,
    });
    for await (const message of consumer) {
      seen.push(message.payload);
      if (!autoAck) await message.ack();
      if (message.payload === COUNT - 1) break;
    }
    return seen;
  };
  const all = Array.from({ length: COUNT }, (_, i) => i);
  for (const offset of ["first", 0, before, "1h", "30m"] as const) {
    assertEquals(await readAll(offset), all, String(offset));
  }
  assertEquals(await readAll("first", true), all);
  assertEquals(await readAll(COUNT - 3), all.slice(-3));
  // The last piece that was written begins somewhere.
  const last = await readAll("last");
  assertEquals(last, all.slice(-last.length));
  const loops = [{ offset: "next" }, {}] as const;
  const came: number[] = [];
  const reading = loops.map(async (options) => {
    for await (const message of connection.consumer(queue, options)) {
      came.push(message.payload);
      await message.ack();
      break;
    }
  });
  // Of a stream the broker does not tell whether somebody consumes from it.
  await until(async () => {
    await connection.send(queue, COUNT);
    return came.length === 2;
  }, "a new message by both");
  await Promise.all(reading);
  assertEquals(came, [COUNT, COUNT]);
  await connection.queue(queue).delete();
});

test("what takes messages out of a stream is refused before RabbitMQ ends the connection for it", async ({ url }) => {
  const queue = new Queue<number>(`dashi-stream-${crypto.randomUUID()}`, {
    type: "stream",
  });
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url));
  await connection.declare(queue);
  for (
    const handle of [connection.queue(queue), connection.queue(queue.name)]
  ) {
    await rejectsWith(handle.get(), "unsupported", "stream");
    await rejectsWith(handle.peek(), "unsupported", "stream");
    await rejectsWith(handle.purge(), "unsupported", "stream");
  }
  await rejectsWith(connection.queue(queue).receive(), "unsupported", "stream");
  for (const each of [queue, queue.name]) {
    await rejectsWith(connection.redrive(each), "unsupported", "stream");
  }
  assertEquals(proxy.accepted, 1);
  await connection.queue(queue).delete();
});

test("a queue that is known by its name alone is looked at before messages are taken: a stream is refused, whatever else is not", async ({ url }) => {
  const stream = new Queue<number>(`dashi-stream-${crypto.randomUUID()}`, {
    type: "stream",
  });
  await using owner = createConnection(url);
  await owner.declare(stream);
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url));
  const handle = connection.queue<number>(stream.name);
  await rejectsWith(handle.get(), "unsupported", "stream");
  await rejectsWith(handle.peek(), "unsupported", "stream");
  await rejectsWith(handle.purge(), "unsupported", "stream");
  await owner.delete(stream);
  // Then it is another one.
  await rejectsWith(handle.get(), "not-found", "declare it first");
  for (
    const options of [{}, { durable: false }, { autoDelete: true }, {
      type: "quorum",
    }, { maxLength: 7 }] as const
  ) {
    // RabbitMQ 3.10 confuses the types of queues that had the same name.
    const name = "type" in options ? unique("queue") : stream.name;
    const queue = new Queue<number>(name, options);
    await owner.send(queue, 1);
    await owner.send(queue, 1);
    const other = connection.queue<number>(name);
    const peeked = await other.peek({ max: 1 });
    const message = await other.get();
    assertEquals([peeked[0]?.payload, message?.payload], [1, 1]);
    await message?.ack();
    await other.purge();
    await owner.delete(queue);
  }
  assertEquals(proxy.accepted, 1);
});

Deno.test("an offset that makes no sense is refused, and so is one of a queue that is no stream", async () => {
  await using connection = createConnection("memory://offsets");
  for (
    const offset of ["soon", -1, 1.5, NaN, "h", "12 h", new Date(NaN), true, {}]
  ) {
    assertThrows(
      () => connection.consumer("s", { offset: offset as StreamOffset }),
      Error,
      "offset",
    );
  }
  const quorum = new Queue("q", { type: "quorum" });
  assertThrows(
    () => connection.consumer(quorum, { offset: "first" }),
    Error,
    'not declared with "type" "stream"',
  );
  assertThrows(
    () =>
      connection.consumer("s", {
        offset: "first",
        arguments: { "x-stream-offset": 1 },
      }),
    Error,
    "x-stream-offset",
  );
  // It has no streams.
  await rejectsWith(
    connection.consumer("s", { offset: "first" }).run(() => {}),
    "unsupported",
    "streams",
  );
});
