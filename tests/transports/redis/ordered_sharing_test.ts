/** Ordered queues beside Kombu, processes of before, and what nobody can read. */

import { assert, assertEquals } from "@std/assert";
import { DecodeError } from "../../../model/errors.ts";
import { type DeliveryTag, deliveryTag } from "../../../model/message.ts";
import { connectTo, Raw, test } from "../../support/redis.ts";
import {
  busy,
  envelope,
  Hand,
  hash,
  ORDERS,
  payloads,
  publish,
  ready,
} from "../../support/redis_ordered.ts";
import { openTransport } from "../../support/redis_transport.ts";
import { Predecessor, whyNoPredecessor } from "../../support/rolling.ts";

test("Kombu's messages lie in the queue's list, and come as such without a key, or by their header in order with ours", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await connection.declare(ORDERS);
  const pipeline = ["-1", "a1", "-2", "a2", "é1"].map((text) =>
    envelope(text, text.startsWith("-") ? {} : { "x-key": text.slice(0, 1) })
  );
  // Nested, in a value, or too long it is no key.
  pipeline.push(
    envelope("-3", { inner: { "x-key": "a" }, list: ["x-key"], of: "x-key" }),
    envelope("-4", { "x-key": "k".repeat(129) }),
    envelope("-5", { "x-key": 7 }),
    envelope("a3", {
      of: '"x-key": "b"',
      inner: { "x-key": "b" },
      "x-key": "a",
    }),
  );
  // As Python writes it.
  const [accented = ""] = pipeline.splice(4, 1);
  pipeline.push(accented.replace("é", "\\u00e9"));
  await raw.send("LPUSH", "orders", ...pipeline);
  assertEquals(await ready(connection), 9);
  await publish(connection, ["a4", "é2"]);
  assertEquals(await raw.number("LLEN", "orders"), 0);
  await using hand = new Hand(server.url);
  const taken = await hand.take(7);
  assertEquals(payloads(taken).toSorted(), [
    "-1",
    "-2",
    "-3",
    "-4",
    "-5",
    "a1",
    "é1",
  ]);
  assertEquals(await busy(raw), ["a", "é"]);
  for (const each of taken) await each.ack();
  const rest: string[] = [];
  for (let i = 0; i < 4; i++) rest.push(...await hand.finish(1));
  assertEquals(rest.filter((each) => each.startsWith("a")), ["a2", "a3", "a4"]);
  assertEquals(rest.filter((each) => each.startsWith("é")), ["é2"]);
  assertEquals(await hash(raw, "messages"), {});
  assertEquals(await raw.number("EXISTS", "unacked"), 0);
});

test("one that is put into the queue's list while a key is busy comes in its turn, and wakes who waits", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await publish(connection, ["a1"]);
  await using hand = new Hand(server.url);
  const a1 = await hand.next();
  await raw.send("LPUSH", "orders\x06\x169", envelope("a2", { "x-key": "a" }));
  await raw.send("LPUSH", "orders", envelope("b1", { "x-key": "b" }));
  const b1 = await hand.next();
  assertEquals(b1.payload, "b1");
  await a1.ack();
  assertEquals((await hand.next()).payload, "a2");
});

test("an entry that is no message is put aside, and its key does not wait for it", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await connection.declare(ORDERS);
  const broken = envelope("a1", { "x-key": "a" });
  await raw.send(
    "LPUSH",
    "orders",
    "no message",
    broken.replace('"body": "', '"Body": "'),
    broken.replace(/"body": "[^"]*"/, '"body": "%%%"'),
    envelope("a2", { "x-key": "a" }),
  );
  await using hand = new Hand(server.url);
  let unread = 0;
  for (;;) {
    const message = await hand.next();
    try {
      assertEquals(message.payload, "a2");
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      unread++;
      await message.reject();
      continue;
    }
    await message.ack();
    break;
  }
  assertEquals(unread, 3);
  assertEquals(await busy(raw), []);
  assertEquals(await raw.number("LLEN", "dashi.malformed.orders"), 3);
});

test("a key that is no text holds nobody up, however its message is settled", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await connection.declare(ORDERS);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  const put =
    `redis.call("LPUSH", "orders", (string.gsub(ARGV[1], "@", "\\255")))`;
  const ways = [
    (tag: DeliveryTag) => channel.ack(tag),
    (tag: DeliveryTag) => channel.reject(tag, { requeue: false }),
    (tag: DeliveryTag) => channel.reject(tag, { requeue: true }),
  ];
  for (const settle of ways) {
    await raw.send("EVAL", put, 0, envelope("a1", { "x-key": "@" }));
    const delivery = await channel.get("orders");
    assert(delivery?.malformed !== undefined);
    assertEquals((await busy(raw)).length, 1);
    await settle(delivery.deliveryTag);
    assertEquals(await busy(raw), []);
  }
  assertEquals(await ready(connection), 1);
  // One without a name would not be known again: its key does not wait for it.
  const nameless = envelope("b1", { "x-key": "b" })
    .replace(/, "delivery_tag": "[^"]*"/, "");
  await raw.send("LPUSH", "orders", nameless);
  await raw.send("LPUSH", "orders", envelope("b2", { "x-key": "b" }));
  const held = [await channel.get("orders"), await channel.get("orders")];
  const b1 = held.find((each) => each?.malformed === undefined);
  await channel.reject(b1?.deliveryTag ?? deliveryTag(0), {
    requeue: true,
    delay: 600_000,
  });
  assert(await channel.get("orders") !== undefined);
});

test("a heap that others put is filed in pieces", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await connection.declare(ORDERS);
  const texts = Array.from(
    { length: 1200 },
    (_, i) => envelope(`${i}`, i % 2 === 0 ? {} : { "x-key": `k${i}` }),
  );
  await raw.send("LPUSH", "orders", ...texts);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  const first = await channel.get("orders");
  assertEquals(await raw.number("LLEN", "orders"), 700);
  assert(first !== undefined);
  await channel.reject(first.deliveryTag, { requeue: true });
  const got = new Set<string>();
  const consumer = connection.consumer<string>(ORDERS, {
    autoAck: true,
    prefetch: 100,
  });
  for await (const { payload } of consumer) {
    got.add(payload);
    if (got.size === texts.length) break;
  }
  assertEquals(await raw.number("LLEN", "orders"), 0);
});

test("a message that a process of 0.1.0 or Kombu gives back comes first of its key, and the key is free", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await publish(connection, ["a1", "a2", "b1", "b2"]);
  await using hand = new Hand(server.url);
  const [a1, b1] = await hand.take(2);
  assertEquals([a1?.payload, b1?.payload], ["a1", "b1"]);
  const fields = await raw.texts("HKEYS", "unacked");
  for (const field of fields) {
    const [message] = JSON.parse(
      String(await raw.send("HGET", "unacked", field)),
    );
    const text = JSON.stringify(message).replaceAll('":', '": ')
      .replaceAll(',"', ', "');
    // Of the one it notes what it was, to the front; the other goes behind all.
    const isFirst = message.headers["x-key"] === "a";
    await raw.send("HDEL", "unacked", field);
    await raw.send("ZREM", "unacked_index", field);
    await raw.send(
      isFirst ? "RPUSH" : "LPUSH",
      "orders",
      isFirst ? text.replace(/"}}$/, `;count=1;taken=${field}"}}`) : text,
    );
  }
  const again = await hand.take(2);
  assertEquals(payloads(again).toSorted(), ["a1", "b1"]);
  for (const each of again) await each.ack();
  assertEquals((await hand.finish(2)).toSorted(), ["a2", "b2"]);
  assertEquals(await busy(raw), []);
});

test("a message that nobody holds any more does not hold its key", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await publish(connection, ["a1", "a2"]);
  await using hand = new Hand(server.url);
  assertEquals((await hand.next()).payload, "a1");
  await raw.send("DEL", "unacked", "unacked_index");
  await raw.send("LPUSH", "orders", envelope("a3", { "x-key": "a" }));
  assertEquals(await hand.finish(2), ["a2", "a3"]);
});

test("a queue that a process of before has deleted begins empty; tables that were lost take no message along", async (server) => {
  await using raw = new Raw(server.port);
  {
    await using connection = connectTo(server.url);
    await publish(connection, ["a1", "a2"]);
  }
  const tables = await raw.texts("HGETALL", "dashi.topology");
  await raw.send("DEL", "dashi.topology", "dashi.topology.changes");
  {
    await using connection = connectTo(server.url);
    await publish(connection, ["a3"]);
    assertEquals(await ready(connection), 3);
  }
  assert(tables.includes("queue orders"));
  await raw.send("HDEL", "dashi.topology", "queue orders");
  await raw.send("HINCRBY", "dashi.topology", "count", 1);
  await raw.send("LPUSH", "dashi.topology.changes", '["queue orders"]');
  await using connection = connectTo(server.url);
  await publish(connection, ["a4"]);
  await using hand = new Hand(server.url);
  assertEquals(await hand.finish(1), ["a4"]);
});

test(
  "0.1.0 consumes nothing that has a key, publishes what has none, and gives back what a dead one held",
  async (server) => {
    await using raw = new Raw(server.port);
    const versions = await Predecessor.unpack();
    const at = {
      url: server.url,
      queue: "orders",
      exchange: "old",
      type: "direct",
    } as const;
    await using connection = connectTo(server.url);
    await publish(connection, ["a1", "a2", "b1"]);
    const owners = () => raw.texts("ZRANGE", "dashi.owners", 0, -1);
    const before = await owners();
    await using dead = await openTransport(server.url);
    const channel = await dead.openChannel();
    await channel.get("orders");
    await channel.get("orders");
    assertEquals(await busy(raw), ["a", "b"]);
    const [owner = ""] = (await owners()).filter((each) =>
      !before.includes(each)
    );
    await using old = versions.start("0.1.0", { ...at, mode: "consume" });
    await old.ready();
    // As if it had said nothing for its time; who looks first may be the old one or ours.
    await raw.send("ZADD", "dashi.owners", 1, owner);
    await using heir = new Hand(server.url);
    const coming = heir.take(2);
    const again = await coming;
    assertEquals(payloads(again).toSorted(), ["a1", "b1"]);
    assertEquals(old.lines.filter(({ got }) => got !== undefined), []);
    await old.stop();
    for (const each of again) await each.ack();
    assertEquals(await heir.finish(1), ["a2"]);
    await using publisher = versions.start("0.1.0", { ...at, mode: "publish" });
    await publisher.ready();
    assertEquals(await heir.finish(2), ["orders 0", "orders 1"]);
    await publisher.stop();
  },
  { reason: whyNoPredecessor(), patience: 120_000 },
);
