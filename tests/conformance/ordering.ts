import assert from "node:assert/strict";
import type { Channel, Delivery } from "../../transports/transport.ts";
import { KEY_HEADER } from "../../virtual/message_key.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onBroker, onBrokerInTime } from "./case.ts";
import { publishing, rejectsWith, soon, textOf, unique } from "./support.ts";

/** The capabilities of brokers that themselves hand out one message of a key at a time. */
const NEEDS = { needs: ["key-order", "key-fairness"] } as const;

/** Ordered queues, by the verbs of a channel. */
export const ORDERING: readonly ConformanceCase[] = [
  onBroker(
    "an ordered queue hands out one message of a key at a time, in order, and others meanwhile",
    async (broker) => {
      const queue = await orderedQueue(broker);
      await putAll(broker, queue, ["a1", "a2", "b1", "a3", "b2"]);
      assert.equal(await broker.count(queue), 5);
      const other = (await broker.openElsewhere()).channel;
      const a1 = await broker.getSoon(queue);
      const b1 = await other.get(queue, soon());
      assert.ok(b1 !== undefined);
      assert.deepEqual([textOf(a1), textOf(b1)], ["a1", "b1"]);
      assert.equal(await other.get(queue, soon()), undefined);
      assert.equal(await broker.get(queue), undefined);
      assert.equal(await broker.count(queue), 3);
      await other.ack(b1.deliveryTag, soon());
      const b2 = await broker.getSoon(queue);
      assert.equal(textOf(b2), "b2");
      await broker.channel.ack(a1.deliveryTag, soon());
      const a2 = await broker.getSoon(queue);
      assert.equal(textOf(a2), "a2");
      assert.equal(await broker.get(queue), undefined);
      await broker.channel.ack(a2.deliveryTag, soon());
      await broker.channel.ack(b2.deliveryTag, soon());
      assert.deepEqual(await broker.drain(queue), ["a3"]);
    },
    NEEDS,
  ),
  onBroker(
    "an ordered queue gives back at the front of a key: messages that are requeued, and those that a lost connection held",
    async (broker) => {
      const queue = await orderedQueue(broker);
      await putAll(broker, queue, ["a1", "a2", "b1", "b2"]);
      const a1 = await broker.getSoon(queue);
      await broker.channel.reject(a1.deliveryTag, { requeue: true, ...soon() });
      const { connection, channel } = await broker.openElsewhere();
      const held = [
        await channel.get(queue, soon()),
        await channel.get(queue, soon()),
      ];
      assert.deepEqual(held.map((each) => each && textOf(each)).sort(), [
        "a1",
        "b1",
      ]);
      const again = held.find((each) => each && textOf(each) === "a1");
      assert.equal(again?.redelivered, true);
      await connection[Symbol.asyncDispose]();
      assert.deepEqual(
        ofKeys(await settleAll(broker, queue, 4)),
        { a: ["a1", "a2"], b: ["b1", "b2"] },
      );
    },
    NEEDS,
  ),
  onBrokerInTime(
    "an ordered queue keeps a key waiting for what is requeued with a delay, and no other",
    [700, 8000],
    async (broker, delay) => {
      const queue = await orderedQueue(broker);
      await putAll(broker, queue, ["a1", "a2", "b1", "b2"]);
      const a1 = await broker.getSoon(queue);
      const headers = { ...a1.properties.headers, "x-attempts": 2 };
      const before = performance.now();
      await broker.channel.reject(a1.deliveryTag, {
        requeue: true,
        delay,
        headers,
        ...soon(),
      });
      assert.deepEqual(
        (await settleAll(broker, queue, 2)).map((each) => textOf(each)),
        ["b1", "b2"],
      );
      const early = await broker.get(queue);
      const isDue = performance.now() - before >= delay - 1;
      assert.ok(early === undefined || isDue, "its key did not wait");
      const again = early ?? await broker.getSoon(queue);
      assert.equal(textOf(again), "a1");
      assert.equal(again.properties.headers?.["x-attempts"], 2);
      assert.equal(again.redelivered, false);
      assert.equal(again.deliveryCount ?? 0, 0);
      assert.equal(await broker.get(queue), undefined);
      await broker.channel.ack(again.deliveryTag, soon());
      assert.deepEqual(await broker.drain(queue), ["a2"]);
    },
    { needs: [...NEEDS.needs, "delay"] },
  ),
  onBroker(
    "an ordered queue lets keys take turns: 60 messages of one, and some of none, delay another by two rounds at most",
    async (broker) => {
      const queue = await orderedQueue(broker);
      const crowd = Array.from({ length: 60 }, (_, i) => `a${i}`);
      await Promise.all(crowd.map((text) => put(broker, queue, text)));
      const loose = Array.from({ length: 15 }, (_, i) => `loose ${i}`);
      for (const text of loose) await broker.put(queue, text);
      await putAll(broker, queue, ["b1", "c1", "b2"]);
      const first = await settleAll(broker, queue, 10);
      const texts = first.map((each) => textOf(each) ?? "");
      const at = (text: string) => texts.indexOf(text);
      // A round is a turn of a, of those without a key, of b and of c.
      assert.ok(at("b1") >= 0 && at("b1") < 8, texts.join());
      assert.ok(at("c1") >= 0 && at("c1") < 8, texts.join());
      assert.ok(at("b2") > at("b1"), texts.join());
      const all = [...texts, ...await broker.drain(queue)];
      assert.equal(all.length, 78);
      assert.deepEqual(all.filter((each) => each.startsWith("a")), crowd);
      assert.deepEqual(all.filter((each) => each.startsWith("l")), loose);
    },
    NEEDS,
  ),
  onBroker(
    "messages of an ordered queue that have no key wait for none, and what is no key counts as none",
    async (broker) => {
      const queue = await orderedQueue(broker);
      await broker.put(queue, "1");
      for (const [text, key] of [["2", ""], ["3", 7], ["4", "x".repeat(129)]]) {
        await broker.put(queue, `${text}`, { headers: { [KEY_HEADER]: key } });
      }
      const taken: Delivery[] = [];
      for (let i = 0; i < 4; i++) taken.push(await broker.getSoon(queue));
      assert.deepEqual(taken.map((each) => textOf(each)), ["1", "2", "3", "4"]);
      for (const { deliveryTag } of taken.slice(1, 3)) {
        await broker.channel.reject(deliveryTag, { requeue: true, ...soon() });
      }
      assert.deepEqual(
        (await settleAll(broker, queue, 2)).map((each) => textOf(each)),
        ["2", "3"],
      );
    },
    NEEDS,
  ),
  onBroker(
    "an ordered queue goes on behind what is rejected, whose dead letter keeps its key",
    async (broker) => {
      const dead = await broker.queue();
      const queue = await orderedQueue(broker, {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
      });
      await putAll(broker, queue, ["a1", "a2"]);
      const a1 = await broker.getSoon(queue);
      await broker.channel.reject(a1.deliveryTag, {
        requeue: false,
        ...soon(),
      });
      assert.equal(textOf(await broker.getSoon(queue)), "a2");
      const letter = await broker.getSoon(dead);
      assert.equal(letter.properties.headers?.[KEY_HEADER], "a");
    },
    { needs: [...NEEDS.needs, "dead-letter"] },
  ),
  onBroker(
    "an ordered queue is purged of what is ready, and goes on with its keys",
    async (broker) => {
      const queue = await orderedQueue(broker);
      await putAll(broker, queue, ["a1", "a2", "b1"]);
      const a1 = await broker.getSoon(queue);
      assert.equal(await broker.channel.purgeQueue(queue, soon()), 2);
      await putAll(broker, queue, ["a3", "b2"]);
      assert.equal(textOf(await broker.getSoon(queue)), "b2");
      assert.equal(await broker.get(queue), undefined);
      await broker.channel.reject(a1.deliveryTag, { requeue: true, ...soon() });
      assert.deepEqual(
        (await settleAll(broker, queue, 2)).map((each) => textOf(each)),
        ["a1", "a3"],
      );
      assert.equal(await broker.channel.deleteQueue(queue, soon()), 0);
    },
    NEEDS,
  ),
  onBroker(
    "an ordered queue wakes a consumer that waits, when a key is free again",
    async (broker) => {
      const queue = await orderedQueue(broker);
      const { channel } = await broker.openElsewhere();
      await putAll(broker, queue, ["a1", "a2"]);
      const a1 = await channel.get(queue, soon());
      assert.ok(a1 !== undefined);
      const collector = await broker.consume(queue);
      // Once it has had one it has nothing to do but wait.
      await putAll(broker, queue, ["b1"]);
      const b1 = await collector.next();
      assert.equal(textOf(b1), "b1");
      await channel.ack(a1.deliveryTag, soon());
      const a2 = await collector.next();
      assert.equal(textOf(a2), "a2");
      for (const { deliveryTag } of [b1, a2]) {
        await broker.channel.ack(deliveryTag, soon());
      }
    },
    NEEDS,
  ),
  onBroker(
    "messages of an ordered queue expire, and hold up nobody",
    async (broker) => {
      const dead = await broker.queue();
      const queue = await orderedQueue(broker, {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
      });
      await put(broker, queue, "a0");
      const a0 = await broker.getSoon(queue);
      await put(broker, queue, "a1", 50);
      await put(broker, queue, "a2");
      await put(broker, queue, "b1", 50);
      const letters = await broker.consume(dead);
      const expired = [textOf(await letters.next())];
      await broker.channel.ack(a0.deliveryTag, soon());
      // Where a put takes its time, the last one's is over later.
      expired.push(textOf(await letters.next()));
      assert.deepEqual(expired.sort(), ["a1", "b1"]);
      const a2 = await broker.getSoon(queue);
      assert.equal(textOf(a2), "a2");
      await put(broker, queue, "a3");
      assert.equal(await broker.get(queue), undefined);
      await broker.channel.ack(a2.deliveryTag, soon());
      assert.deepEqual(await broker.drain(queue), ["a3"]);
    },
    { needs: [...NEEDS.needs, "message-ttl", "dead-letter"] },
  ),
  onBroker(
    "a message with a key is refused where the broker heeds none, and so is an ordered queue",
    async (broker) => {
      const queue = await broker.queue();
      const message = publishing("", queue, "x", { keyed: true });
      await rejectsWith(
        broker.channel.publish(message, soon()),
        "unsupported",
        "key-order",
      );
      assert.equal(await broker.count(queue), 0);
      await rejectsWith(
        broker.channel.declareQueue(
          broker.queueOf({ arguments: { "x-ordered": true } }),
          soon(),
        ),
        "unsupported",
        "key-order",
      );
    },
    { lacks: ["key-order", "key-fairness"] },
  ),
];

/** The name of an ordered queue: SQS takes those alone that end so. */
function orderedQueue(
  broker: Broker,
  arguments_: Readonly<Record<string, string>> = {},
): Promise<string> {
  return broker.queue({
    name: `${unique("ordered")}.fifo`,
    arguments: { "x-ordered": true, ...arguments_ },
  });
}

/** Puts a text whose first letter is its key. */
async function put(
  broker: Broker,
  queue: string,
  text: string,
  expiration?: number,
): Promise<void> {
  const headers = { [KEY_HEADER]: text.slice(0, 1) };
  await broker.put(queue, text, { headers, expiration });
}

async function putAll(
  broker: Broker,
  queue: string,
  texts: readonly string[],
): Promise<void> {
  for (const text of texts) await put(broker, queue, text);
}

/** Takes so many messages, each when the one before is settled. */
async function settleAll(
  broker: Broker,
  queue: string,
  count: number,
  channel: Channel = broker.channel,
): Promise<Delivery[]> {
  const taken: Delivery[] = [];
  while (taken.length < count) {
    const delivery = await broker.getSoon(queue);
    taken.push(delivery);
    await channel.ack(delivery.deliveryTag, soon());
  }
  return taken;
}

/** The texts, by their first letter. */
function ofKeys(
  deliveries: readonly Delivery[],
): Partial<Record<string, string[]>> {
  const texts = deliveries.map((each) => textOf(each) ?? "");
  return { ...Object.groupBy(texts, (text) => text.slice(0, 1)) };
}
