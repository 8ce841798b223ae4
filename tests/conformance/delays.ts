import assert from "node:assert/strict";
import {
  asTheyCome,
  publishing,
  rejectsWith,
  soon,
  textOf,
  unique,
} from "./support.ts";
import { type ConformanceCase, onBroker, onBrokerInTime } from "./case.ts";
import { deathOf, withDeadLetters } from "./deaths.ts";

/** The time that a busy machine may take beyond what is promised, ms. */
const NOISE = 10_000;

/** Messages that come later. */
export const DELAYS: readonly ConformanceCase[] = [
  onBroker(
    "a delayed message comes in its time, and holds up no other",
    async (broker) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue, { prefetch: 1 });
      const began = performance.now();
      await broker.publish("", queue, "later", { delay: 1500 });
      await broker.publish("", queue, "now");
      const first = await collector.next();
      assert.equal(textOf(first), "now");
      await broker.channel.ack(first.deliveryTag, soon());
      assert.equal(textOf(await collector.next()), "later");
      assert.ok(performance.now() - began >= 1499);
    },
    { needs: ["delay"] },
  ),
  onBrokerInTime(
    "a shorter delay passes a longer one",
    [1500, 8000],
    async (broker, delay, harness) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue);
      await broker.publish("", queue, "long", { delay: 900_000 });
      await broker.publish("", queue, "middle", { delay });
      await broker.publish("", queue, "short", { delay: 100 });
      const came = [await collector.next(), await collector.next()].map(textOf);
      // On a broker that keeps no order both may be due when it is asked next.
      const expected = asTheyCome(["short", "middle"], harness);
      assert.deepEqual(asTheyCome(came, harness), expected);
      assert.equal(collector.all.length, 2);
    },
    { needs: ["delay"] },
  ),
  onBrokerInTime(
    "purgeQueue() leaves what is delayed",
    [2000, 8000],
    async (broker, delay) => {
      const queue = await broker.queue();
      await broker.publish("", queue, "later", { delay });
      await broker.put(queue, "now");
      assert.equal(await broker.channel.purgeQueue(queue, soon()), 1);
      const collector = await broker.consume(queue);
      assert.equal(textOf(await collector.next()), "later");
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["delay"] },
  ),
  onBroker(
    "a message is requeued with a delay and other headers",
    async (broker) => {
      const queue = await broker.queue();
      await broker.put(queue, "x", { headers: { attempt: 1 }, messageId: "m" });
      const { deliveryTag } = await broker.getSoon(queue);
      const collector = await broker.consume(queue);
      const began = performance.now();
      await broker.channel.reject(deliveryTag, {
        requeue: true,
        delay: 50,
        headers: { attempt: 2 },
        ...soon(),
      });
      const again = await collector.next();
      assert.ok(performance.now() - began >= 49);
      assert.equal(again.properties.headers?.attempt, 2);
      assert.equal(again.properties.messageId, "m");
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["delay"] },
  ),
  onBroker("a delay is refused where there is none", async (broker) => {
    const queue = await broker.queue();
    await rejectsWith(
      broker.channel.publish(
        publishing("", queue, "x", { delay: 1000 }),
        soon(),
      ),
      "unsupported",
    );
    await broker.put(queue, "alive");
    const { deliveryTag } = await broker.getSoon(queue);
    await rejectsWith(
      broker.channel.reject(deliveryTag, {
        requeue: true,
        delay: 1000,
        ...soon(),
      }),
      "unsupported",
    );
    await broker.channel.ack(deliveryTag, soon());
  }, { lacks: ["delay"] }),
  onBroker(
    "a delayed message is never early, and a second late at most",
    async (broker) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue);
      const began = performance.now();
      const delays = [1, 700, 1000, 1300];
      await Promise.all(
        delays.map((delay) =>
          broker.publish("", queue, String(delay), { delay, mandatory: true })
        ),
      );
      for (let i = 0; i < delays.length; i++) {
        const delay = Number(textOf(await collector.next()));
        const late = performance.now() - began - delay;
        assert.ok(late >= -1, `${delay} ms came ${-late} ms early`);
        assert.ok(late < 1000 + NOISE, `${delay} ms came ${late} ms late`);
      }
    },
    { needs: ["delay"] },
  ),
  onBroker(
    "a thousand delayed messages hold up none without delay at prefetch 1, and are not unsettled (row 20)",
    async (broker) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue, { prefetch: 1 });
      await Promise.all(
        Array.from(
          { length: 1000 },
          () => broker.publish("", queue, "later", { delay: 900_000 }),
        ),
      );
      const began = performance.now();
      await broker.publish("", queue, "now");
      assert.equal(textOf(await collector.next()), "now");
      assert.ok(performance.now() - began < 1000 + NOISE);
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["delay"] },
  ),
  onBroker(
    "a delayed message keeps its exchange, key and headers, whatever they are",
    async (broker) => {
      const exchange = await broker.exchange("topic");
      const [queue, other] = [await broker.queue(), await broker.queue()];
      await broker.bind(queue, exchange, "1.0.#");
      await broker.bind(other, exchange, `#.${exchange}`);
      await broker.bind(other, exchange, "*.*.*.#");
      const collector = await broker.consume(queue);
      await broker.publish(exchange, "1.0", "x", {
        delay: 1500,
        properties: { headers: { h: [1] }, messageId: "m" },
      });
      const delivery = await collector.next();
      assert.deepEqual(
        [delivery.exchange, delivery.routingKey, delivery.redelivered],
        [exchange, "1.0", false],
      );
      assert.deepEqual(delivery.properties.headers, { h: [1] });
      assert.equal(delivery.properties.messageId, "m");
      assert.equal(await broker.count(other), 0);
    },
    { needs: ["delay"] },
  ),
  onBroker(
    "a delayed message is dead-lettered as any other",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker);
      const exchange = await broker.exchange("direct");
      await broker.bind(queue, exchange, "k");
      const collector = await broker.consume(queue);
      await broker.publish(exchange, "k", "x", { delay: 5 });
      const { deliveryTag } = await collector.next();
      await broker.channel.reject(deliveryTag, { requeue: false, ...soon() });
      const { properties: { headers } } = await broker.getSoon(dead);
      const death = deathOf(headers);
      assert.deepEqual(
        [death.queue, death.reason, death.exchange, death["routing-keys"]],
        [queue, "rejected", exchange, ["k"]],
      );
      assert.equal(headers?.["x-first-death-queue"], queue);
      assert.equal(headers?.["x-first-death-exchange"], exchange);
      assert.deepEqual(
        Object.keys(headers ?? {}).filter((name) => !name.startsWith("x-")),
        [],
      );
    },
    { needs: ["delay", "dead-letter"] },
  ),
  onBroker(
    "a delayed message that no queue would take is returned if it is mandatory",
    async (broker) => {
      const missing = unique("missing");
      const outcome = await broker.publish("", missing, "x", {
        delay: 1000,
        mandatory: true,
      });
      assert.equal(outcome.type, "returned");
      await broker.put(await broker.queue(), "the channel lives");
    },
    { needs: ["delay", "known-queues"] },
  ),
  onBroker(
    "a requeue with a delay goes to its own queue alone, and keeps exchange and key",
    async (broker) => {
      const exchange = await broker.exchange("fanout");
      const [queue, other] = [await broker.queue(), await broker.queue()];
      await broker.bind(queue, exchange);
      await broker.bind(other, exchange);
      await broker.publish(exchange, "k", "x", {
        properties: { headers: { kept: true } },
      });
      const first = await broker.getSoon(queue);
      const again = broker.channel.reject(first.deliveryTag, {
        requeue: true,
        delay: 20,
        ...soon(),
      });
      await rejectsWith(
        broker.channel.ack(first.deliveryTag, soon()),
        "message-settled",
      );
      await again;
      const second = await broker.getSoon(queue);
      assert.deepEqual(
        [second.exchange, second.routingKey, second.properties.headers],
        [exchange, "k", { kept: true }],
      );
      await broker.channel.reject(second.deliveryTag, {
        requeue: true,
        headers: { attempt: 3 },
        ...soon(),
      });
      const third = await broker.getSoon(queue);
      assert.deepEqual(
        [third.exchange, third.routingKey, third.properties.headers],
        [exchange, "k", { attempt: 3 }],
      );
      await broker.channel.ack(third.deliveryTag, soon());
      assert.deepEqual(await broker.drain(other), ["x"]);
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["delay", "queued-fanout"] },
  ),
];
