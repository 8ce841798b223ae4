import assert from "node:assert/strict";
import { type ConformanceCase, onBroker, onBrokerInTime } from "./case.ts";
import { deathOf, withDeadLetters } from "./deaths.ts";
import type { Delivery } from "../../transports/transport.ts";
import {
  bindingOf,
  publishing,
  rejectsWith,
  soon,
  textOf,
  until,
} from "./support.ts";

/** Times to live, limits and priorities, also of one beside the other. */
export const AGES: readonly ConformanceCase[] = [
  ...([
    ["x-max-length-bytes", 10],
    ["x-max-length", 2],
  ] as const).flatMap(([argument, limit]) => [
    onBroker(`${argument} counts anew after a purge`, async (broker) => {
      const queue = await broker.queue({ arguments: { [argument]: limit } });
      for (const text of ["12345", "67890"]) await broker.put(queue, text);
      assert.equal(await broker.channel.purgeQueue(queue, soon()), 2);
      for (const text of ["abcde", "fghij"]) await broker.put(queue, text);
      assert.deepEqual(await broker.drain(queue), ["abcde", "fghij"]);
    }, { needs: ["length-limit"] }),
    onBroker(`${argument} counts what is ready alone`, async (broker) => {
      const queue = await broker.queue({ arguments: { [argument]: limit } });
      for (const text of ["12345", "67890"]) await broker.put(queue, text);
      const one = await broker.getSoon(queue);
      const two = await broker.getSoon(queue);
      for (const text of ["abcde", "fghij"]) await broker.put(queue, text);
      assert.equal(await broker.count(queue), 2);
      for (const { deliveryTag } of [one, two]) {
        await broker.channel.ack(deliveryTag, soon());
      }
      await broker.put(queue, "klmno");
      assert.deepEqual(await broker.drain(queue), ["fghij", "klmno"]);
    }, { needs: ["length-limit"] }),
  ]),
  onBroker(
    "a priority above x-max-priority counts as that",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-max-priority": 5 } });
      for (
        const [text, priority] of [["low", 1], ["five", 5], [
          "nine",
          9,
        ]] as const
      ) await broker.put(queue, text, { priority });
      await broker.untilCount(queue, 3);
      assert.deepEqual(await broker.drain(queue), ["five", "nine", "low"]);
    },
    { needs: ["priority"] },
  ),
  onBroker(
    "priorities go to 255, and a queue tells apart as many as it says",
    async (broker) => {
      const queue = await broker.queue({
        arguments: { "x-max-priority": 255 },
      });
      const priorities = [9, 255, 10, 0, 200];
      for (const priority of priorities) {
        await broker.put(queue, `${priority}`, { priority });
      }
      await broker.untilCount(queue, priorities.length);
      assert.deepEqual(await broker.drain(queue), [
        "255",
        "200",
        "10",
        "9",
        "0",
      ]);
    },
    { needs: ["wide-priority"] },
  ),
  onBroker(
    "a priority above 9 is refused where it would not be told apart, and says which are",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-max-priority": 9 } });
      const message = publishing("", queue, "high", {
        properties: { priority: 10 },
      });
      await rejectsWith(
        broker.channel.publish(message, soon()),
        "unsupported",
        "priority 10",
        "0 to 9",
      );
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["priority"], lacks: ["wide-priority"] },
  ),
  onBroker(
    "a queue with x-max-priority 1 has two priorities",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-max-priority": 1 } });
      await broker.put(queue, "zero", { priority: 0 });
      await broker.put(queue, "nine", { priority: 9 });
      await broker.untilCount(queue, 2);
      assert.deepEqual(await broker.drain(queue), ["nine", "zero"]);
    },
    { needs: ["priority"] },
  ),
  onBroker(
    "a message without a priority counts as 0",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-max-priority": 9 } });
      await broker.put(queue, "none");
      await broker.put(queue, "zero", { priority: 0 });
      await broker.put(queue, "nine", { priority: 9 });
      await broker.untilCount(queue, 3);
      assert.deepEqual(await broker.drain(queue), ["nine", "none", "zero"]);
    },
    { needs: ["priority"] },
  ),
  onBroker(
    "in a queue with priorities messages expire too, whatever is before them",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-max-priority": 5 } });
      await broker.put(queue, "low", { priority: 0, expiration: 0 });
      await broker.put(queue, "high", { priority: 5, expiration: 60_000 });
      await broker.put(queue, "late", { priority: 5, expiration: 0 });
      await broker.put(queue, "last", { priority: 0 });
      assert.equal(textOf(await broker.getSoon(queue)), "high");
      assert.equal(textOf(await broker.getSoon(queue)), "last");
      assert.equal(await broker.get(queue), undefined);
    },
    { needs: ["priority", "message-ttl"] },
  ),
  onBroker(
    "the shorter of the message's and the queue's time to live counts",
    async (broker) => {
      const queue = await broker.queue({
        arguments: { "x-message-ttl": 60_000 },
      });
      await broker.put(queue, "late", { expiration: 0 });
      await broker.put(queue, "in time");
      assert.equal(textOf(await broker.getSoon(queue)), "in time");
      assert.equal(await broker.get(queue), undefined);
    },
    { needs: ["message-ttl"] },
  ),
  onBrokerInTime(
    "a message that is held does not expire, and does when it is requeued",
    [1500, 8000],
    async (broker, expiration) => {
      const { queue, dead, exchange } = await withDeadLetters(broker);
      const other = await broker.queue({
        arguments: {
          "x-dead-letter-exchange": exchange,
          "x-dead-letter-routing-key": "dead",
        },
      });
      const letters = await broker.consume(dead);
      await broker.put(queue, "held", { expiration });
      let held: Delivery | undefined;
      await until(async () => {
        assert.equal(letters.all.length, 0, "it expired before it was taken");
        held = await broker.get(queue);
        return held !== undefined;
      }, "the message");
      assert.ok(held !== undefined);
      const { deliveryTag } = held;
      // When this one's time is over, then that of the one that is held is.
      await broker.put(other, "marker", { expiration });
      assert.equal(textOf(await letters.next()), "marker");
      assert.equal(letters.all.length, 1);
      const options = { requeue: true, ...soon() };
      await broker.channel.reject(deliveryTag, options);
      const letter = await letters.next();
      assert.equal(textOf(letter), "held");
      assert.equal(deathOf(letter.properties.headers).reason, "expired");
    },
    { needs: ["dead-letter", "message-ttl"] },
  ),
  onBrokerInTime(
    "a queue with x-expires stays while it has a consumer",
    [1300, 8000],
    async (broker, expires) => {
      const queue = await broker.queue({ arguments: { "x-expires": expires } });
      const collector = await broker.consume(queue);
      // Its time is over when that of one without a consumer is, which began later.
      const unused = await broker.queue({
        arguments: { "x-expires": expires + 300 },
      });
      await until(async () => {
        return await broker.isGone(unused);
      }, "the end of the queue that nobody uses");
      await broker.put(queue, "x");
      assert.equal(textOf(await collector.next()), "x");
      assert.equal(
        (await broker.channel.checkQueue(queue, soon())).name,
        queue,
      );
    },
    { needs: ["queue-ttl", "known-queues"] },
  ),
  onBroker(
    "a queue with x-expires is not kept by what is published to it, whatever is declared meanwhile",
    async (broker) => {
      const queue = await broker.queue({ arguments: { "x-expires": 1500 } });
      const other = await broker.queue();
      const binding = bindingOf("queue", other, "amq.direct", other);
      let isBound = false;
      await until(async () => {
        // Publishers look at the tables again where these have changed.
        if (isBound) await broker.channel.unbind(binding, soon());
        else await broker.channel.bind(binding, soon());
        isBound = !isBound;
        return await broker.isGone(queue);
      }, "the end of the queue that nobody uses");
    },
    { needs: ["queue-ttl", "known-queues"] },
  ),
  onBrokerInTime(
    "a queue with x-expires stays while somebody looks at it, or gets from it",
    [700, 2500, 8000],
    async (broker, expires) => {
      const [looked = "", got = "", unused = ""] = await Promise.all(
        [expires, expires, 2 * expires].map((each) =>
          broker.queue({ arguments: { "x-expires": each } })
        ),
      );
      await until(async () => {
        await broker.channel.checkQueue(looked, soon());
        assert.equal(await broker.get(got), undefined);
        return await broker.isGone(unused);
      }, "the end of the queue that nobody uses");
    },
    { needs: ["queue-ttl", "known-queues"] },
  ),
];
