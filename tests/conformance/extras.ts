import assert from "node:assert/strict";
import { UnsupportedError } from "../../mod.ts";
import { publishing, rejectsWith, soon, textOf, until } from "./support.ts";
import { deathOf, withDeadLetters } from "./deaths.ts";
import { DELAYS } from "./delays.ts";
import { type ConformanceCase, onBroker } from "./case.ts";

/** Features that some brokers have. */
export const EXTRAS: readonly ConformanceCase[] = [
  ...DELAYS,
  onBroker(
    "a rejected message is dead-lettered, and says why",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker);
      await broker.put(queue, "bad", { headers: { kept: 1 }, messageId: "m" });
      const { deliveryTag } = await broker.getSoon(queue);
      await broker.channel.reject(deliveryTag, { requeue: false, ...soon() });
      const delivery = await broker.getSoon(dead);
      assert.equal(textOf(delivery), "bad");
      assert.equal(delivery.properties.messageId, "m");
      assert.equal(delivery.routingKey, "dead");
      const { headers } = delivery.properties;
      assert.equal(headers?.kept, 1);
      assert.equal(headers?.["x-first-death-queue"], queue);
      assert.equal(headers?.["x-first-death-reason"], "rejected");
      const death = deathOf(headers);
      assert.deepEqual(
        [death.queue, death.reason, death.exchange, death["routing-keys"]],
        [queue, "rejected", "", [queue]],
      );
      assert.equal(Number(death.count), 1);
      assert.ok(death.time instanceof Date);
      assert.equal(await broker.count(dead), 0);
    },
    { needs: ["dead-letter"] },
  ),
  onBroker("deaths are counted by queue and reason", async (broker) => {
    // Round and round by the broker alone: RabbitMQ 4 forgets the deaths that a publisher names.
    const exchange = await broker.exchange("direct");
    const queues = await Promise.all(
      ["back", "on"].map((routingKey) =>
        broker.queue({
          arguments: {
            "x-dead-letter-exchange": exchange,
            "x-dead-letter-routing-key": routingKey,
          },
        })
      ),
    );
    const [one = "", other = ""] = queues;
    await broker.bind(other, exchange, "back");
    await broker.bind(one, exchange, "on");
    await broker.put(one, "bad");
    for (let i = 1; i <= 3; i++) {
      for (const [from, to] of [[one, other], [other, one]] as const) {
        const { deliveryTag } = await broker.getSoon(from);
        await broker.channel.reject(deliveryTag, { requeue: false, ...soon() });
        const { properties, deliveryTag: tag } = await broker.getSoon(to);
        const { queue, count } = deathOf(properties.headers);
        assert.deepEqual([queue, Number(count)], [from, i]);
        await broker.channel.reject(tag, { requeue: true, ...soon() });
      }
    }
  }, { needs: ["dead-letter"] }),
  onBroker("an expired message is not delivered", async (broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "late", { expiration: 0 });
    await broker.put(queue, "in time", { expiration: 60_000 });
    assert.equal(textOf(await broker.getSoon(queue)), "in time");
    assert.equal(await broker.count(queue), 0);
  }, { needs: ["message-ttl"] }),
  onBroker(
    "a queue's own time to live holds for all of its messages",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-message-ttl": 1 } });
      await broker.put(queue, "late", { expiration: 60_000 });
      await broker.untilCount(queue, 0);
      assert.equal(await broker.get(queue), undefined);
    },
    { needs: ["message-ttl"] },
  ),
  onBroker(
    "an expired message is dead-lettered while somebody waits for it",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker, {
        "x-message-ttl": 20,
      });
      const collector = await broker.consume(dead);
      await broker.put(queue, "slow");
      const delivery = await collector.next();
      assert.equal(textOf(delivery), "slow");
      assert.equal(deathOf(delivery.properties.headers).reason, "expired");
    },
    { needs: ["dead-letter", "message-ttl"] },
  ),
  onBroker(
    "a message's own expiration is told, and does not follow it",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker);
      const collector = await broker.consume(dead);
      await broker.put(queue, "x", { expiration: 10 });
      const { properties } = await collector.next();
      assert.equal(properties.expiration, undefined);
      assert.equal(deathOf(properties.headers)["original-expiration"], "10");
    },
    { needs: ["dead-letter", "message-ttl"] },
  ),
  onBroker(
    "an expired message does not go round in a circle",
    async (broker) => {
      const exchange = await broker.exchange("fanout");
      const queue = await broker.queue({
        arguments: { "x-dead-letter-exchange": exchange, "x-message-ttl": 1 },
      });
      const seen = await broker.queue();
      for (const each of [queue, seen]) await broker.bind(each, exchange);
      const collector = await broker.consume(seen);
      await broker.put(queue, "x");
      await collector.next();
      // Were it back in its queue, then another would have expired behind it.
      await broker.put(queue, "y");
      assert.equal(textOf(await collector.next()), "y");
      assert.equal(collector.all.length, 2);
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["dead-letter", "message-ttl"] },
  ),
  onBroker("a full queue drops its head", async (broker) => {
    const queue = await broker.queue({ arguments: { "x-max-length": 2 } });
    for (const text of ["1", "2", "3"]) await broker.put(queue, text);
    assert.deepEqual(await broker.drain(queue), ["2", "3"]);
  }, { needs: ["length-limit"] }),
  onBroker("a queue that is full of bytes drops its head", async (broker) => {
    const queue = await broker.queue({
      arguments: { "x-max-length-bytes": 10 },
    });
    for (const text of ["12345", "67890", "abc"]) await broker.put(queue, text);
    assert.deepEqual(await broker.drain(queue), ["67890", "abc"]);
  }, { needs: ["length-limit"] }),
  onBroker(
    "a message that a full queue drops is dead-lettered",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker, {
        "x-max-length": 1,
      });
      for (const text of ["1", "2"]) await broker.put(queue, text);
      const delivery = await broker.getSoon(dead);
      assert.equal(textOf(delivery), "1");
      assert.equal(deathOf(delivery.properties.headers).reason, "maxlen");
    },
    { needs: ["length-limit", "dead-letter"] },
  ),
  onBroker(
    "a full queue that rejects publishes refuses them",
    async (broker) => {
      const queue = await broker.queue({
        arguments: { "x-max-length": 1, "x-overflow": "reject-publish" },
      });
      await broker.put(queue, "1");
      await rejectsWith(
        broker.channel.publish(publishing("", queue, "2"), soon()),
        "publish-refused",
      );
      assert.deepEqual(await broker.drain(queue), ["1"]);
    },
    { needs: ["length-limit"] },
  ),
  onBroker(
    "a queue that dead-letters what it refuses does so, or cannot be declared",
    async (broker) => {
      const declaring = withDeadLetters(broker, {
        "x-max-length": 1,
        "x-overflow": "reject-publish-dlx",
      });
      if (await isRefused(declaring, "reject-publish-dlx")) return;
      const { queue, dead } = await declaring;
      await broker.put(queue, "1");
      await rejectsWith(
        broker.channel.publish(publishing("", queue, "2"), soon()),
        "publish-refused",
      );
      const delivery = await broker.getSoon(dead);
      assert.equal(textOf(delivery), "2");
      assert.equal(deathOf(delivery.properties.headers).reason, "maxlen");
      assert.deepEqual(await broker.drain(queue), ["1"]);
    },
    { needs: ["length-limit", "dead-letter"] },
  ),
  onBroker(
    "a queue of a single active consumer hands all to one of two, or cannot be declared",
    async (broker) => {
      const argument = "x-single-active-consumer";
      const declaring = broker.queue({ arguments: { [argument]: true } });
      if (await isRefused(declaring, argument)) return;
      const queue = await declaring;
      const first = await broker.consume(queue, { prefetch: 10 });
      await broker.consume(queue, { prefetch: 10 });
      for (const text of ["1", "2", "3", "4"]) {
        await broker.put(queue, text);
        assert.equal(textOf(await first.next()), text);
      }
    },
  ),
  onBroker(
    "the higher priority comes first, equal ones in order, after a requeue too",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-max-priority": 9 } });
      for (
        const [text, priority] of [["a", 0], ["b", 6], ["c", 3], ["d", 6], [
          "e",
          9,
        ]] as const
      ) {
        await broker.put(queue, text, { priority });
      }
      const first = await broker.getSoon(queue);
      assert.equal(textOf(first), "e");
      await broker.channel.reject(first.deliveryTag, {
        requeue: true,
        ...soon(),
      });
      await broker.untilCount(queue, 5);
      assert.deepEqual(await broker.drain(queue), ["e", "b", "d", "c", "a"]);
    },
    { needs: ["priority"] },
  ),
  onBroker(
    "a queue goes when nobody has used it for its time",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-expires": 50 } });
      // Looking at it is using it: a publish to it is not.
      await until(() => broker.isGone(queue), "the end of the queue");
    },
    { needs: ["queue-ttl", "known-queues"] },
  ),
  ...([
    ["priority", { "x-max-priority": 5 }],
    ["wide-priority", { "x-max-priority": 10 }],
    ["message-ttl", { "x-message-ttl": 1000 }],
    ["queue-ttl", { "x-expires": 1000 }],
    ["length-limit", { "x-max-length": 1 }],
    ["dead-letter", { "x-dead-letter-exchange": "x" }],
    ["key-order", { "x-ordered": true }],
    ["streams", { "x-queue-type": "stream" }],
  ] as const).map(([capability, arguments_]) =>
    onBroker(
      `a queue that needs ${capability} is refused where there is none`,
      async (broker) => {
        await rejectsWith(
          broker.channel.declareQueue(
            broker.queueOf({ arguments: arguments_ }),
            soon(),
          ),
          "unsupported",
        );
      },
      { lacks: [capability] },
    )
  ),
];

/** Whether a declaration is refused for one of its arguments, which the broker has nothing for. */
async function isRefused(
  declaring: Promise<unknown>,
  argument: string,
): Promise<boolean> {
  try {
    await declaring;
    return false;
  } catch (error) {
    assert.ok(error instanceof UnsupportedError, String(error));
    assert.ok(error.message.includes(argument), error.message);
    return true;
  }
}
