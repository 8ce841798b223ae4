import assert from "node:assert/strict";
import { arrives, rejectsWith, soon, textOf, unique } from "./support.ts";
import { type ConformanceCase, onBroker } from "./case.ts";

const TEXTS = Array.from({ length: 200 }, (_, i) => String(i));

/** Getting and consuming. */
export const CONSUMING: readonly ConformanceCase[] = [
  onBroker("get() of an empty queue is undefined", async (broker) => {
    assert.equal(await broker.get(await broker.queue()), undefined);
  }),
  onBroker("get() takes messages in order", async (broker) => {
    const queue = await broker.queue();
    for (const text of ["1", "2", "3"]) await broker.put(queue, text);
    for (const text of ["1", "2", "3"]) {
      assert.equal(textOf(await broker.get(queue)), text);
    }
  }, { ordered: true }),
  onBroker("get() of a missing queue is not-found", async (broker) => {
    const name = unique("missing");
    const channel = await broker.openChannel();
    await rejectsWith(channel.get(name, soon()), "not-found", name);
  }, { needs: ["known-queues"] }),
  onBroker(
    "consume() from a missing queue is not-found, and other channels live on",
    async (broker) => {
      const name = unique("missing");
      const channel = await broker.openChannel();
      await rejectsWith(
        channel.consume(name, () => {}, { prefetch: 1, ...soon() }),
        "not-found",
        name,
      );
      await broker.queue();
    },
    { needs: ["known-queues"] },
  ),
  onBroker(
    "consume() from a queue that was declared elsewhere, or not at all",
    async (broker) => {
      const [declared, made] = [await broker.queue(), unique("made")];
      const { channel } = await broker.openElsewhere();
      const collector = await broker.consume(declared, {}, channel);
      await broker.put(declared, "x");
      assert.equal(textOf(await collector.next()), "x");
      const other = await broker.consume(made, { noAck: true }, channel);
      await broker.put(made, "y");
      assert.equal(textOf(await other.next()), "y");
      await channel.deleteQueue(made, soon());
    },
    { lacks: ["known-queues"] },
  ),
  onBroker(
    "a message is handed over while others keep coming, far from a full prefetch",
    async (broker) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue, { prefetch: 500 });
      let arrived = false;
      let published = 0;
      const first = collector.next().finally(() => arrived = true);
      first.catch(() => {});
      while (!arrived && published < 300) {
        await broker.put(queue, "x");
        published++;
        await new Promise((resolve) => setTimeout(resolve));
      }
      assert.ok(arrived, `none of ${published} messages arrived`);
      assert.equal(textOf(await first), "x");
    },
  ),
  onBroker("consume() delivers in order", async (broker) => {
    const queue = await broker.queue();
    const collector = await broker.consume(queue, { prefetch: 10 });
    await Promise.all(TEXTS.map((text) => broker.publish("", queue, text)));
    for (const text of TEXTS) {
      const delivery = await collector.next();
      assert.equal(textOf(delivery), text);
      await broker.channel.ack(delivery.deliveryTag, soon());
    }
  }, { ordered: true }),
  onBroker("a consumer never holds more than its prefetch", async (broker) => {
    const queue = await broker.queue();
    for (const text of TEXTS.slice(0, 50)) await broker.put(queue, text);
    const collector = await broker.consume(queue, { prefetch: 7 });
    let settled = 0;
    for (let i = 0; i < 50; i++) {
      const delivery = await collector.next();
      assert.ok(collector.all.length - settled <= 7);
      await broker.channel.ack(delivery.deliveryTag, soon());
      settled++;
    }
    assert.equal(await broker.count(queue), 0);
  }),
  onBroker(
    "at prefetch 1 an unsettled message holds back the next",
    async (broker) => {
      const [queue, marker] = [await broker.queue(), await broker.queue()];
      const markers = await broker.consume(marker);
      const collector = await broker.consume(queue, { prefetch: 1 });
      await broker.put(queue, "first");
      await broker.put(queue, "second");
      const first = await collector.next();
      // A wrong delivery would have come before a message that was sent later.
      await broker.put(marker, "later");
      await markers.next();
      assert.equal(collector.all.length, 1);
      assert.equal(await broker.count(queue), 1);
      await broker.channel.ack(first.deliveryTag, soon());
      assert.equal(textOf(await collector.next()), "second");
    },
  ),
  onBroker(
    "two consumers share a queue, and no message comes to both",
    async (broker) => {
      const queue = await broker.queue();
      const elsewhere = await broker.openElsewhere();
      const [one, two] = [
        await broker.consume(queue, { prefetch: 1 }),
        await broker.consume(queue, { prefetch: 1 }, elsewhere.channel),
      ];
      for (const text of TEXTS.slice(0, 20)) await broker.put(queue, text);
      // Each holds one: both must be at work.
      const [first, second] = [await one.next(), await two.next()];
      await broker.channel.ack(first.deliveryTag, soon());
      await elsewhere.channel.ack(second.deliveryTag, soon());
      await one.subscription?.[Symbol.asyncDispose]();
      await two.subscription?.[Symbol.asyncDispose]();
      const held = [...one.all.slice(1), ...two.all.slice(1)].map(textOf);
      const left = await broker.drain(queue);
      const seen = [textOf(first), textOf(second), ...left];
      assert.deepEqual(
        [...seen, ...held].sort(),
        TEXTS.slice(0, 20).sort(),
      );
    },
  ),
  onBroker(
    "a consumer that holds all it may leaves the rest to others",
    async (broker) => {
      const queue = await broker.queue();
      const slow = await broker.consume(queue, { prefetch: 1 });
      await broker.put(queue, "held");
      await slow.next();
      const fast = await broker.consume(queue, { prefetch: 1 });
      for (const text of ["a", "b", "c"]) {
        await broker.put(queue, text);
        const delivery = await fast.next();
        assert.equal(textOf(delivery), text);
        await broker.channel.ack(delivery.deliveryTag, soon());
      }
      assert.equal(slow.all.length, 1);
    },
  ),
  onBroker(
    "with noAck a message is settled when it is delivered",
    async (broker) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue, { noAck: true });
      await broker.put(queue, "x");
      const delivery = await collector.next();
      await rejectsWith(
        broker.channel.ack(delivery.deliveryTag, soon()),
        "message-settled",
      );
      await collector.subscription?.[Symbol.asyncDispose]();
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker(
    "cancelling gives back what was not delivered, and keeps the rest unsettled",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of TEXTS.slice(0, 10)) await broker.put(queue, text);
      const collector = await broker.consume(queue, { prefetch: 3 });
      await collector.take(3);
      await collector.subscription?.[Symbol.asyncDispose]();
      await collector.subscription?.[Symbol.asyncDispose]();
      const { all } = collector;
      assert.deepEqual(
        (await collector.subscription?.ended)?.type,
        "cancelled",
      );
      await broker.untilCount(queue, 10 - all.length);
      for (const delivery of all) {
        await broker.channel.ack(delivery.deliveryTag, soon());
      }
      assert.equal((await broker.drain(queue)).length, 10 - all.length);
    },
  ),
  onBroker("nothing is delivered to a cancelled consumer", async (broker) => {
    const queue = await broker.queue();
    const collector = await broker.consume(queue);
    await collector.subscription?.[Symbol.asyncDispose]();
    await broker.put(queue, "later");
    await broker.untilCount(queue, 1);
    assert.equal(collector.all.length, 0);
  }),
  onBroker(
    "cancelling one consumer leaves the others of its channel at work",
    async (broker) => {
      const [one, two] = [await broker.queue(), await broker.queue()];
      const first = await broker.consume(one);
      const second = await broker.consume(two);
      await first.subscription?.[Symbol.asyncDispose]();
      await broker.put(two, "alive");
      assert.equal(textOf(await second.next()), "alive");
    },
  ),
  onBroker("a consumer ends when its queue is deleted", async (broker) => {
    const queue = await broker.queue();
    const collector = await broker.consume(queue);
    const other = await broker.openChannel();
    await other.deleteQueue(queue, soon());
    assert.ok(collector.subscription !== undefined);
    const reason = await arrives(collector.subscription.ended, "its end");
    assert.equal(reason.type, "ended-by-broker");
    assert.ok(reason.type === "ended-by-broker");
    assert.ok("code" in reason.error);
    assert.equal(reason.error.code, "consumer-cancelled");
    await broker.queue(); // the channel lives on
  }),
  onBroker("an exclusive consumer keeps others out", async (broker) => {
    const queue = await broker.queue();
    const first = await broker.consume(queue, { exclusive: true });
    const channel = await broker.openChannel();
    await rejectsWith(
      channel.consume(queue, () => {}, { prefetch: 1, ...soon() }),
      "access-refused",
    );
    await first.subscription?.[Symbol.asyncDispose]();
    const another = await broker.openChannel();
    await broker.consume(queue, {}, another);
  }, { needs: ["shared-topology"] }),
  onBroker("checkQueue() counts the consumers", async (broker) => {
    const queue = await broker.queue();
    await broker.consume(queue);
    await broker.consume(queue);
    const { consumerCount } = await broker.channel.checkQueue(queue, soon());
    assert.equal(consumerCount, 2);
  }, { needs: ["shared-topology"] }),
  onBroker(
    "consumers have the tag that was asked for, or one of their own",
    async (broker) => {
      const queue = await broker.queue();
      const [named, one, two] = [
        await broker.consume(queue, { consumerTag: "mine" }),
        await broker.consume(queue),
        await broker.consume(queue),
      ];
      assert.equal(named.subscription?.consumerTag, "mine");
      assert.notEqual(
        one.subscription?.consumerTag,
        two.subscription?.consumerTag,
      );
    },
  ),
  onBroker(
    "a subscription knows when the broker was last heard",
    async (broker) => {
      const before = performance.now();
      const collector = await broker.consume(await broker.queue());
      assert.ok(collector.subscription !== undefined);
      const { lastHeard, heardEvery } = collector.subscription;
      assert.ok(lastHeard >= before - 10_000 && lastHeard <= performance.now());
      assert.ok(heardEvery > 0);
    },
  ),
];
