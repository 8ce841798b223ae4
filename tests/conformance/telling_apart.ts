import assert from "node:assert/strict";
import type { FieldTable, FieldValue } from "../../transports/transport.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { deathOf, withDeadLetters } from "./deaths.ts";
import { bindingOf, publishing, rejectsWith, soon, textOf } from "./support.ts";

/** The results of `x-match` for arguments whose names begin with `x-`. */
const WITH_X: readonly (readonly [
  arguments_: FieldTable,
  matching: readonly FieldTable[],
  others: readonly FieldTable[],
])[] = [
  [
    { "x-match": "all-with-x", "x-a": 1, b: 2 },
    [{ "x-a": 1, b: 2 }],
    [{ b: 2 }, { "x-a": 2, b: 2 }],
  ],
  [
    { "x-match": "any-with-x", "x-a": 1, b: 2 },
    [{ "x-a": 1 }, { b: 2 }],
    [{ "x-a": 2, b: 1 }],
  ],
];

function isFieldTable(value: FieldValue): value is FieldTable {
  return typeof value === "object" && value !== null &&
    !Array.isArray(value) && !(value instanceof Date) &&
    !(value instanceof Uint8Array);
}

/** Things that look alike and are not: bindings that differ a little, copies and their originals, what is over and what is not. */
export const TELLING_APART: readonly ConformanceCase[] = [
  onBroker(
    "bindings of one key and other arguments are apart, and one is removed without the other",
    async (broker) => {
      const exchange = await broker.exchange("headers");
      const queue = await broker.queue();
      const tables = [{ a: 1 }, { a: 2 }];
      for (const table of tables) {
        await broker.bind(queue, exchange, "k", table);
      }
      const publish = async () => {
        for (const headers of tables) {
          const properties = { headers };
          await broker.publish(exchange, "k", `${headers.a}`, { properties });
        }
        return (await broker.drain(queue)).sort();
      };
      assert.deepEqual(await publish(), ["1", "2"]);
      await broker.channel.unbind(
        bindingOf("queue", queue, exchange, "k", { a: 1 }),
        soon(),
      );
      assert.deepEqual(await publish(), ["2"]);
    },
  ),
  onBroker(
    "an exchange that one queue is unbound from still leads to another with the same key, and to it with another key",
    async (broker) => {
      const exchange = await broker.exchange("direct");
      const [one, two] = [await broker.queue(), await broker.queue()];
      for (const queue of [one, two]) await broker.bind(queue, exchange, "k");
      await broker.bind(one, exchange, "l");
      await broker.channel.unbind(
        bindingOf("queue", one, exchange, "k"),
        soon(),
      );
      for (const key of ["k", "l"]) await broker.publish(exchange, key, key);
      assert.deepEqual(await broker.drain(one), ["l"]);
      assert.deepEqual(await broker.drain(two), ["k"]);
    },
  ),
  onBroker(
    "a headers exchange compares what begins with x- where it is told to",
    async (broker) => {
      const exchange = await broker.exchange("headers");
      for (const [arguments_, matching, others] of WITH_X) {
        const queue = await broker.queue();
        await broker.bind(queue, exchange, "", arguments_);
        for (const headers of [...matching, ...others]) {
          const properties = { headers };
          const text = JSON.stringify(headers);
          await broker.publish(exchange, "", text, { properties });
        }
        assert.deepEqual(
          (await broker.drain(queue)).sort(),
          matching.map((each) => JSON.stringify(each)).sort(),
          `of ${JSON.stringify(arguments_)}`,
        );
        await broker.channel.deleteQueue(queue, soon());
      }
    },
  ),
  onBroker(
    "a dead letter is a new message: it was not delivered before",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker);
      await broker.put(queue, "x");
      const first = await broker.getSoon(queue);
      const options = { ...soon(), requeue: true };
      await broker.channel.reject(first.deliveryTag, options);
      const { deliveryTag, redelivered } = await broker.getSoon(queue);
      assert.equal(redelivered, true);
      await broker.channel.reject(deliveryTag, { ...soon(), requeue: false });
      const letter = await broker.getSoon(dead);
      assert.equal(letter.redelivered, false);
      await broker.channel.ack(letter.deliveryTag, soon());
    },
    { needs: ["dead-letter"] },
  ),
  onBroker(
    "of many that have expired none is delivered, and each is dead-lettered",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker);
      const texts = Array.from({ length: 20 }, (_, i) => String(i));
      for (const text of texts) {
        await broker.put(queue, text, { expiration: 0 });
      }
      await broker.put(queue, "in time", { expiration: 600_000 });
      assert.equal(textOf(await broker.getSoon(queue)), "in time");
      assert.equal(await broker.get(queue), undefined);
      await broker.untilCount(dead, texts.length);
      const letters = await broker.consume(dead);
      const came = await letters.take(texts.length);
      assert.deepEqual(
        came.map((each) => textOf(each) ?? "").sort(),
        texts.sort(),
      );
      for (const { properties, deliveryTag } of came) {
        assert.equal(deathOf(properties.headers).reason, "expired");
        await broker.channel.ack(deliveryTag, soon());
      }
    },
    { needs: ["dead-letter", "message-ttl"] },
  ),
  onBroker(
    "a delayed message has its priority when it comes",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-max-priority": 5 } });
      for (const [text, priority] of [["low", 1], ["high", 5]] as const) {
        const properties = { priority };
        await broker.publish("", queue, text, { delay: 1, properties });
      }
      await broker.untilCount(queue, 2);
      assert.deepEqual(await broker.drain(queue), ["high", "low"]);
    },
    { needs: ["delay", "priority"] },
  ),
  onBroker(
    "a death by another reason in the same queue is another death",
    async (broker) => {
      const exchange = await broker.exchange("fanout");
      const seen = await broker.queue();
      const dying = { "x-dead-letter-exchange": exchange };
      const queue = await broker.queue({ arguments: dying });
      const back = await broker.queue({
        arguments: {
          "x-dead-letter-exchange": "",
          "x-dead-letter-routing-key": queue,
        },
      });
      for (const each of [seen, back]) await broker.bind(each, exchange);
      const letters = await broker.consume(seen);
      await broker.put(queue, "x");
      const rejectFrom = async (name: string) => {
        const { deliveryTag } = await broker.getSoon(name);
        const options = { requeue: false, ...soon() };
        await broker.channel.reject(deliveryTag, options);
      };
      await rejectFrom(queue);
      await letters.next();
      // It comes back by the other queue when messages of this one have no time left.
      await broker.channel.deleteQueue(queue, soon());
      await broker.channel.declareQueue({
        name: queue,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: { ...dying, "x-message-ttl": 1 },
      }, soon());
      await rejectFrom(back);
      const { properties: { headers } } = await letters.next();
      const deaths = headers?.["x-death"];
      assert.ok(Array.isArray(deaths));
      const told = deaths.map((death) => {
        assert.ok(isFieldTable(death));
        return [death.queue, death.reason, Number(death.count)];
      });
      assert.deepEqual(told[0], [queue, "expired", 1]);
      assert.deepEqual(
        told.map(String).sort(),
        [
          [queue, "expired", 1],
          [back, "rejected", 1],
          [queue, "rejected", 1],
        ].map(String).sort(),
      );
      assert.deepEqual(
        ["queue", "reason", "exchange"].map((name) =>
          headers?.[`x-first-death-${name}`]
        ),
        [queue, "rejected", ""],
      );
    },
    { needs: ["dead-letter", "message-ttl"] },
  ),
  onBroker(
    "a death tells all keys that its message was published with",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker);
      await broker.put(queue, "x", { headers: { CC: ["another", "key"] } });
      const { deliveryTag } = await broker.getSoon(queue);
      await broker.channel.reject(deliveryTag, { requeue: false, ...soon() });
      const { properties } = await broker.getSoon(dead);
      assert.deepEqual(
        deathOf(properties.headers)["routing-keys"],
        [queue, "another", "key"],
      );
    },
    { needs: ["dead-letter"] },
  ),
  onBroker(
    "an alternate exchange takes what an exchange behind another does not match",
    async (broker) => {
      const rest = await broker.exchange("fanout");
      const [first, second] = [
        await broker.exchange("fanout"),
        await broker.exchange("direct", {
          arguments: { "alternate-exchange": rest },
        }),
      ];
      await broker.channel.bind(
        bindingOf("exchange", second, first, ""),
        soon(),
      );
      const [known, others] = [await broker.queue(), await broker.queue()];
      await broker.bind(known, second, "known");
      await broker.bind(others, rest);
      for (const key of ["known", "unknown"]) {
        await broker.publish(first, key, key);
      }
      assert.deepEqual(await broker.drain(known), ["known"]);
      assert.deepEqual(await broker.drain(others), ["unknown"]);
    },
    { needs: ["exchange-to-exchange", "queued-fanout"] },
  ),
  onBroker(
    "a queue that refuses more counts the bytes of what is to come",
    async (broker) => {
      const queue = await broker.queue({
        arguments: {
          "x-max-length-bytes": 10,
          "x-overflow": "reject-publish",
        },
      });
      for (const text of ["12345", "6789"]) await broker.put(queue, text);
      await rejectsWith(broker.put(queue, "ab"), "publish-refused");
      await broker.put(queue, "a");
      assert.deepEqual(await broker.drain(queue), ["12345", "6789", "a"]);
    },
    { needs: ["length-limit"] },
  ),
  onBroker(
    "an auto-delete exchange stays until its last binding goes",
    async (broker) => {
      const exchange = await broker.exchange("direct", { autoDelete: true });
      const [one, two] = [await broker.queue(), await broker.queue()];
      for (const queue of [one, two]) await broker.bind(queue, exchange, "k");
      const unbind = (queue: string) =>
        broker.channel.unbind(
          bindingOf("queue", queue, exchange, "k"),
          soon(),
        );
      await unbind(one);
      await broker.publish(exchange, "k", "x");
      assert.deepEqual(await broker.drain(two), ["x"]);
      await unbind(two);
      const channel = await broker.openChannel();
      await rejectsWith(
        channel.publish(publishing(exchange, "k", "y"), soon()),
        "not-found",
      );
    },
  ),
];
