/** Ordered queues: what lies where, what it costs, and where it ends. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Exchange, PublishError, Queue, UnsupportedError } from "@dashi/mq";
import { deliveryTag } from "../../../model/message.ts";
import { until } from "../../brokers/server.ts";
import { connectTo, Raw, test } from "../../support/redis.ts";
import {
  busy,
  Hand,
  hash,
  ORDERS,
  publish,
  ready,
  ring,
} from "../../support/redis_ordered.ts";
import { openTransport } from "../../support/redis_transport.ts";
import { ALL } from "../../support/targets.ts";

/** A server whose memory is all that it writes to. */
const QUICK = { arguments: ["--appendonly", "no"] };

test("a queue has few keys however many its messages have; a key is in the ring once, or busy", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await publish(connection, ["a1", "a2", "a3", "b1", "-1", "-2", "c1", "b2"]);
  assertEquals(await raw.number("LLEN", "orders"), 0);
  assertEquals(await ring(raw), ["a", "b", "", "c"]);
  assertEquals(await hash(raw, "places"), {
    a: "0:3",
    b: "0:2",
    "": "0:2",
    c: "0:1",
  });
  assertEquals(await busy(raw), []);
  assertEquals(await ready(connection), 8);
  await using hand = new Hand(server.url);
  const [a1, b1, n1, c1, n2] = await hand.take(5);
  // Messages without a key do not wait for each other, but for their turn.
  assertEquals(
    [a1, b1, n1, c1, n2].map((each) => each?.payload),
    ["a1", "b1", "-1", "c1", "-2"],
  );
  assertEquals(await ring(raw), []);
  assertEquals(await busy(raw), ["a", "b", "c"]);
  assertEquals(await hash(raw, "places"), { a: "1:3", b: "1:2" });
  assertEquals(await ready(connection), 3);
  await c1?.ack();
  await b1?.ack();
  const b2 = await hand.next();
  assertEquals(b2.payload, "b2");
  await a1?.requeue();
  assertEquals((await hand.next()).payload, "a1");
  assertEquals(await busy(raw), ["a", "b"]);
  assertEquals(await raw.number("HLEN", "unacked"), 4);
  await connection.purge(ORDERS);
  assertEquals(await ready(connection), 0);
  await b2.ack();
  await publish(connection, ["b3", "a4"]);
  assertEquals((await hand.next()).payload, "b3");
  assertEquals(await ring(raw), []);
  await n1?.ack();
  await n2?.ack();
});

test("a settlement by another connection wakes a consumer that waits for the key", async (server) => {
  await using connection = connectTo(server.url);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  // It looks by itself after five seconds, and a machine may stand still for as long, once.
  const waits: number[] = [];
  while (waits.length < 3 && !waits.some((each) => each < 3000)) {
    await publish(connection, ["a1", "a2"]);
    const a1 = await channel.get("orders");
    await using hand = new Hand(server.url);
    const coming = hand.next();
    await publish(connection, ["b1"]);
    const b1 = await coming;
    assertEquals(b1.payload, "b1");
    const next = hand.next();
    const since = performance.now();
    await channel.ack(a1?.deliveryTag ?? deliveryTag(0));
    const a2 = await next;
    assertEquals(a2.payload, "a2");
    waits.push(performance.now() - since);
    await b1.ack();
    await a2.ack();
  }
  assert(waits.some((each) => each < 3000), `it took ${waits} ms`);
});

test("a retry waits with its key and nobody else's, survives a purge, and comes with its headers", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await publish(connection, ["a1", "a2", "b1"]);
  const seen: string[] = [];
  const { promise: waits, resolve } = Promise.withResolvers<void>();
  const { promise: purged, resolve: goOn } = Promise.withResolvers<void>();
  const { promise: done, resolve: end } = Promise.withResolvers<void>();
  await using other = connectTo(server.url);
  const consumer = other.consumer<string>(ORDERS, { prefetch: 10 });
  const running = consumer.run(async ({ payload, attempt, deliveryInfo }) => {
    seen.push(`${payload} ${attempt} ${deliveryInfo.redelivered}`);
    if (payload === "b1") {
      await until(
        "the retry",
        30_000,
        async () => await raw.number("ZCARD", "dashi.delayed.orders") === 1,
      );
      resolve();
      await purged;
    }
    if (payload === "a3") end();
    if (payload === "a1" && attempt === 1) throw new Error("once");
  }, { concurrency: 5, retry: { backoff: 1500 } });
  await waits;
  assertEquals(await busy(raw), ["a", "b"]);
  assertEquals(await ready(connection), 1);
  assertEquals(await connection.purge(ORDERS), 1);
  await publish(connection, ["a3"]);
  goOn();
  await done;
  await other.close();
  await running;
  assertEquals(seen, ["a1 1 false", "b1 1 false", "a1 2 false", "a3 1 false"]);
  assertEquals(await raw.number("EXISTS", "unacked"), 0);
});

test("a message expires wherever it is in its key, and does not hold it", async (server) => {
  await using raw = new Raw(server.port);
  const dead = new Queue("dead");
  const orders = new Queue("orders", {
    ordered: true,
    deadLetterExchange: "",
    deadLetterRoutingKey: "dead",
  });
  await using connection = connectTo(server.url);
  await connection.declare([orders, dead]);
  const producer = connection.producer<string>();
  const put = (text: string, expiration?: number) =>
    producer.publish(text, {
      routingKey: "orders",
      key: text.slice(0, 1),
      ...(expiration === undefined ? {} : { expiration }),
    });
  await put("a1");
  await put("a2", 1);
  await put("a3");
  await put("b1", 1);
  await put("c1", 1);
  await put("c2");
  assertEquals(await raw.number("ZCARD", "dashi.ordered.times.orders"), 3);
  await until("their end", 30_000, async () => await ready(connection) === 3);
  const consumer = connection.consumer<string>(orders, { prefetch: 10 });
  const got: string[] = [];
  for await (const message of consumer) {
    got.push(message.payload);
    await message.ack();
    if (got.length === 3) break;
  }
  assertEquals(got, ["a1", "c2", "a3"]);
  await until(
    "the dead letters",
    30_000,
    async () => (await connection.queueStatus(dead)).messageCount === 3,
  );
  assertEquals(await ring(raw), []);
  assertEquals(await busy(raw), []);
  assertEquals(await raw.number("EXISTS", "dashi.ordered.times.orders"), 0);
  const left = await raw.texts("KEYS", "dashi.ordered.*");
  assertEquals(left, ["dashi.ordered.busy.orders"]);
});

test(
  "the parts of a queue go with it: deleted, or unused for its time",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    await publish(connection, ["a1", "a2", "b1"]);
    await publish(connection, ["c1"], { expiration: 60_000 });
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    const a1 = await channel.get("orders");
    assertEquals(await connection.delete(ORDERS), 3);
    assertEquals(await raw.texts("KEYS", "dashi.ordered.*"), []);
    await publish(connection, ["a9"]);
    // It was another queue's: it does not come into this one.
    const tag = a1?.deliveryTag ?? deliveryTag(0);
    await channel.reject(tag, { requeue: true }).catch(() => {});
    assertEquals(await ready(connection), 1);
    await connection.delete(ORDERS);

    const short = new Queue("orders", { ordered: true, expires: 60_000 });
    await connection.declare(short);
    const producer = connection.producer<string>();
    await producer.publish("a1", { routingKey: "orders", key: "a" });
    for (const part of ["messages", "places", "ring", "busy"]) {
      const left = await raw.number("PTTL", `dashi.ordered.${part}.orders`);
      assert(left > 0 && left <= 60_000, `${part}: ${left}`);
    }
  },
  QUICK,
);

test("a limit that refuses counts all that is ready, in messages and in bytes", async (server) => {
  await using connection = connectTo(server.url);
  const all = [
    new Queue("many", {
      ordered: true,
      maxLength: 3,
      arguments: { "x-overflow": "reject-publish" },
    }),
    new Queue("much", {
      ordered: true,
      maxLengthBytes: 300,
      arguments: { "x-overflow": "reject-publish" },
    }),
  ];
  await connection.declare(all);
  const producer = connection.producer<Uint8Array>();
  for (const { name } of all) {
    const publish = (key: string) =>
      producer.publish(new Uint8Array(100), { routingKey: name, key });
    for (const key of ["a", "a", "b"]) await publish(key);
    await assertRejects(() => publish("c"), PublishError);
    for await (const message of connection.consumer(name)) {
      await message.ack();
      break;
    }
    await publish("c");
    await assertRejects(() => publish("c"), PublishError);
  }
});

test("publishing is refused while memory is full, and consumers drain", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  const body = "x".repeat(20_000);
  const texts = Array.from(
    { length: 60 },
    (_, i) => `${"ab"[i % 2]}${i} ${body}`,
  );
  await publish(connection, texts);
  const used = /used_memory:(\d+)/.exec(String(await raw.send("INFO")))?.[1];
  await raw.send("CONFIG", "SET", "maxmemory", Number(used) - 500_000);
  const error = await assertRejects(
    () => publish(connection, [`a ${body}`]),
    PublishError,
  );
  assert(error.retryable, error.message);
  await using hand = new Hand(server.url);
  assertEquals((await hand.finish(60)).length, 60);
});

test("an ordered queue is not bound to a fanout exchange whose messages are in no queue", async (server) => {
  const news = new Exchange("news", { type: "fanout" });
  const bound = new Queue("orders", { ordered: true, exchange: news });
  await using heard = connectTo(server.url, {
    transportOptions: { fanout: "pubsub" },
  });
  await publish(heard, ["a1"]);
  await assertRejects(
    () => heard.declare(bound),
    UnsupportedError,
    'Cannot bind the ordered queue "orders" to the fanout exchange "news"',
  );
  await using queued = connectTo(server.url);
  await queued.declare(bound);
  const producer = queued.producer<string>({ exchange: news });
  await producer.publish("a2", { key: "a" });
  await using hand = new Hand(server.url);
  assertEquals(await hand.finish(2), ["a1", "a2"]);
});

test(
  "10,000 keys cost no more than ten: a few commands of each message, and scripts that take moments",
  async (server) => {
    await using raw = new Raw(server.port);
    const costs = new Map<number, number>();
    const most = ALL ? 10 : 1;
    for (const keys of [10, 10_000]) {
      await raw.send("FLUSHALL");
      await using connection = connectTo(server.url);
      const producer = connection.producer<string>({ declare: [ORDERS] });
      await connection.connect();
      await producer.publish("first", { routingKey: "orders" });
      // On a busy machine a short script may wait for its turn for long.
      await raw.send("CONFIG", "SET", "slowlog-log-slower-than", 1_500_000);
      await raw.send("SLOWLOG", "RESET");
      await raw.send("CONFIG", "RESETSTAT");
      const count = keys === 10 ? 2000 : keys * most;
      const batch: Promise<unknown>[] = [];
      for (let i = 0; i < count; i++) {
        batch.push(
          producer.publish(String(i), {
            routingKey: "orders",
            key: `k${i % keys}`,
          }),
        );
        if (batch.length === 5000) await Promise.all(batch.splice(0));
      }
      const last = new Map<string, number>();
      const early: string[] = [];
      let got = 0;
      const consumer = connection.consumer<string>(ORDERS, { prefetch: 500 });
      await consumer.run(({ payload, key = "" }) => {
        if (key !== "") {
          if ((last.get(key) ?? -1) >= Number(payload)) early.push(payload);
          last.set(key, Number(payload));
        }
        if (++got === count + 1) void consumer.cancel();
      }, { concurrency: 500 });
      assertEquals(early, []);
      let calls = 0;
      const stats = String(await raw.send("INFO", "commandstats"));
      for (const [, each] of stats.matchAll(/calls=(\d+)/g)) {
        calls += Number(each);
      }
      costs.set(keys, calls / count);
      assertEquals(await raw.number("SLOWLOG", "LEN"), 0);
    }
    const [few = 0, many = 0] = [...costs.values()];
    assert(many < 30 && many < few * 1.5, `${few}, ${many}`);
  },
  { ...QUICK, patience: 240_000 },
);
