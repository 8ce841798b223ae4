import assert from "node:assert/strict";
import type {
  FieldTable,
  MessageProperties,
} from "../../transports/transport.ts";
import { publishing, rejectsWith, soon, unique } from "./support.ts";
import { type ConformanceCase, onBroker } from "./case.ts";

/** Texts that have broken other libraries, as header names and values and as bodies. */
const WEIRD: readonly string[] = [
  "a/b",
  "/",
  "../up",
  "\\back\\slash",
  `"double"`,
  "'single'",
  " space ",
  "0digit",
  "☺☺☺",
  "é董",
  "{}[]()<>",
  "a=b&c=d?e#f",
  "%20%2F",
  "line\nfeed",
  "tab\t",
  "NaN",
  "null",
  "constructor",
];

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);

/** Headers of every type. */
const HEADERS: FieldTable = {
  text: "plain",
  empty: "",
  yes: true,
  no: false,
  nothing: null,
  zero: 0,
  small: 127,
  byte: 128,
  short: 300,
  word: 40_000,
  negative: -7,
  lower: -40_000,
  int: 2 ** 31 - 1,
  long: 2 ** 31,
  longer: 2 ** 53 - 1,
  least: -(2 ** 53 - 1),
  big: 2n ** 62n,
  float: 1.5,
  tiny: -0.25,
  bytes: Uint8Array.of(0, 255, 1),
  date: new Date("2024-05-06T07:08:09Z"),
  list: [1, "two", null, [3.5, true]],
  table: { inner: { deep: "x", n: -1 }, list: [{ a: 1 }] },
};

/** A message comes back as it was published, and one that cannot be sent is refused. */
export const PUBLISHING: readonly ConformanceCase[] = [
  onBroker("publish() carries any bytes", async (broker) => {
    const queue = await broker.queue();
    const bodies = [
      new Uint8Array(0),
      Uint8Array.of(0),
      ALL_BYTES,
      Uint8Array.of(0xc3, 0x28, 0xff), // no UTF-8
      ...WEIRD.map((text) => new TextEncoder().encode(text)),
    ];
    for (const body of bodies) {
      await broker.channel.publish(
        { ...publishing("", queue, ""), body },
        soon(),
      );
    }
    for (const body of bodies) {
      const delivery = await broker.getSoon(queue);
      assert.deepEqual([...delivery.body], [...body]);
      assert.equal(Object.getPrototypeOf(delivery.body), Uint8Array.prototype);
    }
  }),
  ...[128 * 1024, 1024 * 1024].map((size) =>
    onBroker(
      `publish() carries a body of ${size} bytes, or the largest`,
      async (broker, { largestBody = size }) => {
        const queue = await broker.queue();
        const body = new Uint8Array(Math.min(size, largestBody));
        for (let i = 0; i < body.length; i++) body[i] = i * 31;
        await broker.channel.publish(
          { ...publishing("", queue, ""), body },
          soon(),
        );
        const delivery = await broker.getSoon(queue);
        assert.equal(delivery.body.byteLength, body.byteLength);
        assert.ok(delivery.body.every((byte, i) => byte === body[i]));
      },
    )
  ),
  onBroker(
    "publish() refuses a body that is too large, and goes on",
    async (broker) => {
      const queue = await broker.queue();
      const body = new Uint8Array(1024 * 1024);
      const [large, small] = [
        broker.channel.publish(
          { ...publishing("", queue, ""), body },
          soon(),
        ),
        broker.put(queue, "small"),
      ];
      const error = await rejectsWith(large, "message-too-large");
      assert.ok("outcome" in error);
      assert.equal(error.outcome, "not-sent");
      await small;
      assert.deepEqual(await broker.drain(queue), ["small"]);
    },
    { limited: true },
  ),
  onBroker("publish() carries every property", async (broker) => {
    const queue = await broker.queue();
    const properties: MessageProperties = {
      contentType: "text/plain",
      contentEncoding: "utf-8",
      headers: { h: 1 },
      deliveryMode: "persistent",
      priority: 3,
      correlationId: "correlation",
      replyTo: "reply",
      expiration: 60_000,
      messageId: "message",
      timestamp: new Date("2024-05-06T07:08:09Z"),
      type: "kind",
      appId: "app",
    };
    await broker.put(queue, "x", properties);
    const { userId: _, ...found } = (await broker.getSoon(queue)).properties;
    assert.deepEqual({ ...found }, properties);
  }, { needs: ["message-ttl", "priority"] }),
  onBroker("publish() carries weird texts of properties", async (broker) => {
    const queue = await broker.queue();
    for (const text of WEIRD) {
      const properties = {
        messageId: text,
        correlationId: text,
        replyTo: text,
        type: text,
        appId: text,
      };
      await broker.put(queue, "x", properties);
      const { messageId, correlationId, replyTo, type, appId } =
        (await broker.getSoon(queue)).properties;
      assert.deepEqual(
        { messageId, correlationId, replyTo, type, appId },
        properties,
      );
    }
  }),
  onBroker("publish() leaves out what was not given", async (broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "x");
    const { headers, ...others } = (await broker.getSoon(queue)).properties;
    assert.deepEqual(headers ?? {}, {});
    for (const [name, value] of Object.entries(others)) {
      // Kombu's envelope always has these two.
      if (name === "deliveryMode" || name === "priority") continue;
      assert.equal(value, undefined, name);
    }
  }),
  onBroker("publish() carries headers of every type", async (broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "x", { headers: HEADERS });
    const { headers } = (await broker.getSoon(queue)).properties;
    assert.deepEqual(headers, HEADERS);
  }),
  onBroker(
    "publish() carries weird names and values of headers",
    async (broker) => {
      const queue = await broker.queue();
      const headers = Object.fromEntries(WEIRD.map((text) => [text, text]));
      await broker.put(queue, "x", { headers });
      assert.deepEqual(
        (await broker.getSoon(queue)).properties.headers,
        headers,
      );
    },
  ),
  onBroker("publish() tells where a message comes from", async (broker) => {
    const exchange = await broker.exchange("topic");
    const queue = await broker.queue();
    await broker.bind(queue, exchange, "#");
    await broker.publish(exchange, "some.key", "x");
    const delivery = await broker.getSoon(queue);
    assert.equal(delivery.exchange, exchange);
    assert.equal(delivery.routingKey, "some.key");
    assert.equal(delivery.queue, queue);
    assert.equal(delivery.redelivered, false);
  }),
  onBroker("publish() mandatory to no queue is returned", async (broker) => {
    const exchange = await broker.exchange("direct");
    const outcome = await broker.publish(exchange, "nowhere", "x", {
      mandatory: true,
    });
    assert.equal(outcome.type, "returned");
  }),
  onBroker(
    "publish() mandatory to a missing queue is returned",
    async (broker) => {
      const outcome = await broker.publish("", unique("missing"), "x", {
        mandatory: true,
      });
      assert.equal(outcome.type, "returned");
    },
    { needs: ["known-queues"] },
  ),
  onBroker(
    "returned messages are told apart among 100 in flight",
    async (broker) => {
      const exchange = await broker.exchange("direct");
      const queue = await broker.queue();
      await broker.bind(queue, exchange, "known");
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          broker.publish(
            exchange,
            i % 3 === 0 ? "unknown" : "known",
            String(i),
            {
              mandatory: true,
              properties: { messageId: String(i) },
            },
          )),
      );
      assert.deepEqual(
        outcomes.map(({ type }) => type),
        outcomes.map((_, i) => i % 3 === 0 ? "returned" : "accepted"),
      );
      assert.equal(await broker.count(queue), 66);
    },
  ),
  onBroker(
    "publish() to a missing exchange is not-found, and other channels live on",
    async (broker) => {
      const queue = await broker.queue();
      const channel = await broker.openChannel();
      const name = unique("missing");
      await rejectsWith(
        channel.publish(publishing(name, "k", "x"), soon()),
        "not-found",
        name,
      );
      await broker.put(queue, "alive");
      assert.deepEqual(await broker.drain(queue), ["alive"]);
    },
  ),
  onBroker(
    "50 producers publish 5,000 messages, and each arrives once",
    async (broker) => {
      const queue = await broker.queue();
      const channels = await Promise.all(
        Array.from({ length: 5 }, () => broker.openChannel()),
      );
      await Promise.all(Array.from({ length: 50 }, async (_, producer) => {
        const channel = channels[producer % channels.length];
        for (let i = 0; i < 100; i += 10) {
          await Promise.all(
            Array.from(
              { length: 10 },
              (_, j) =>
                broker.publish("", queue, `${producer}:${i + j}`, {}, channel),
            ),
          );
        }
      }));
      const collector = await broker.consume(queue, { noAck: true });
      const texts = (await collector.take(5000))
        .map((each) => new TextDecoder().decode(each.body));
      assert.equal(new Set(texts).size, 5000);
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker(
    "messages that were published before the first consumer wait for it",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["1", "2", "3"]) await broker.put(queue, text);
      const collector = await broker.consume(queue);
      const deliveries = await collector.take(3);
      assert.deepEqual(
        deliveries.map((each) => new TextDecoder().decode(each.body)),
        ["1", "2", "3"],
      );
    },
  ),
];
