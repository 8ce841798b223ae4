import assert from "node:assert/strict";
import { arrives, asTheyCome, rejectsWith, soon, textOf } from "./support.ts";
import { type ConformanceCase, onBroker } from "./case.ts";

/** Ack, reject, requeue. */
export const SETTLING: readonly ConformanceCase[] = [
  onBroker("ack() removes a message for good", async (broker) => {
    const queue = await broker.queue();
    const elsewhere = await broker.openElsewhere();
    await broker.put(queue, "x");
    const delivery = await elsewhere.channel.get(queue, soon());
    assert.ok(delivery !== undefined);
    await elsewhere.channel.ack(delivery.deliveryTag, soon());
    await elsewhere.connection[Symbol.asyncDispose]();
    assert.equal(await broker.count(queue), 0);
  }),
  onBroker("reject() without requeue drops a message", async (broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "x");
    const { deliveryTag } = await broker.getSoon(queue);
    await broker.channel.reject(deliveryTag, { requeue: false, ...soon() });
    assert.equal(await broker.count(queue), 0);
  }),
  onBroker(
    "reject() with requeue delivers it again, marked",
    async (broker) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue, { prefetch: 1 });
      await broker.put(queue, "x", { headers: { h: 1 }, messageId: "m" });
      const first = await collector.next();
      assert.equal(first.redelivered, false);
      await broker.channel.reject(first.deliveryTag, {
        requeue: true,
        ...soon(),
      });
      const second = await collector.next();
      assert.equal(textOf(second), "x");
      assert.equal(second.redelivered, true);
      assert.equal(second.properties.messageId, "m");
      assert.equal(second.properties.headers?.h, 1);
    },
  ),
  onBroker(
    "reject() with requeue goes back to its own queue alone",
    async (broker) => {
      const exchange = await broker.exchange("fanout");
      const [one, two] = [await broker.queue(), await broker.queue()];
      await broker.bind(one, exchange);
      await broker.bind(two, exchange);
      await broker.publish(exchange, "k", "x");
      const delivery = await broker.getSoon(one);
      await broker.channel.reject(delivery.deliveryTag, {
        requeue: true,
        ...soon(),
      });
      const again = await broker.getSoon(one);
      assert.deepEqual([again.exchange, again.routingKey], [exchange, "k"]);
      assert.deepEqual(await broker.drain(two), ["x"]);
      assert.equal(await broker.count(one), 0);
    },
    { needs: ["queued-fanout"] },
  ),
  onBroker("a requeued message keeps its place", async (broker) => {
    const queue = await broker.queue();
    for (const text of ["1", "2", "3"]) await broker.put(queue, text);
    const [one, two] = [
      await broker.getSoon(queue),
      await broker.getSoon(queue),
    ];
    await broker.channel.reject(one.deliveryTag, { requeue: true, ...soon() });
    await broker.channel.reject(two.deliveryTag, { requeue: true, ...soon() });
    await broker.untilCount(queue, 3);
    assert.deepEqual(await broker.drain(queue), ["1", "2", "3"]);
  }, { ordered: true }),
  onBroker(
    "300 requeues, and then all messages are consumed",
    async (broker) => {
      const queue = await broker.queue();
      const texts = Array.from({ length: 50 }, (_, i) => String(i));
      for (const text of texts) await broker.put(queue, text);
      const collector = await broker.consume(queue, { prefetch: 20 });
      const done = new Set<string>();
      let requeued = 0;
      while (done.size < texts.length) {
        const delivery = await collector.next();
        if (requeued < 300) {
          requeued++;
          await broker.channel.reject(delivery.deliveryTag, {
            requeue: true,
            ...soon(),
          });
        } else {
          await broker.channel.ack(delivery.deliveryTag, soon());
          const text = textOf(delivery) ?? "";
          assert.ok(!done.has(text), `"${text}" came again after its ack`);
          done.add(text);
        }
      }
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker(
    "settling twice is message-settled, and the channel lives on",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["a", "b"]) await broker.put(queue, text);
      const [a, b] = [await broker.getSoon(queue), await broker.getSoon(queue)];
      await broker.channel.ack(a.deliveryTag, soon());
      const again = [
        broker.channel.ack(a.deliveryTag, soon()),
        broker.channel.reject(a.deliveryTag, { requeue: true, ...soon() }),
        broker.channel.reject(a.deliveryTag, { requeue: false, ...soon() }),
      ];
      for (const each of again) await rejectsWith(each, "message-settled");
      await broker.channel.ack(b.deliveryTag, soon());
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker("a tag of another channel is message-settled", async (broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "x");
    const { deliveryTag } = await broker.getSoon(queue);
    const other = await broker.openChannel();
    await rejectsWith(other.ack(deliveryTag, soon()), "message-settled");
    await broker.channel.ack(deliveryTag, soon());
  }),
  onBroker("a tag of an ended channel is message-settled", async (broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "x");
    const channel = await broker.openChannel();
    const delivery = await channel.get(queue, soon());
    assert.ok(delivery !== undefined);
    await channel[Symbol.asyncDispose]();
    await rejectsWith(
      channel.ack(delivery.deliveryTag, soon()),
      "message-settled",
    );
    await broker.untilCount(queue, 1);
  }),
  onBroker("ack() multiple settles all up to its tag", async (broker) => {
    const queue = await broker.queue();
    const texts = ["1", "2", "3", "4"];
    for (const text of texts) await broker.put(queue, text);
    const channel = await broker.openChannel();
    const collector = await broker.consume(queue, {}, channel);
    const [, , third, fourth] = await collector.take(4);
    assert.ok(third !== undefined && fourth !== undefined);
    await channel.ack(third.deliveryTag, { multiple: true, ...soon() });
    await rejectsWith(
      channel.ack(third.deliveryTag, soon()),
      "message-settled",
    );
    await channel[Symbol.asyncDispose]();
    await broker.untilCount(queue, 1);
    assert.deepEqual(await broker.drain(queue), ["4"]);
  }),
  onBroker("reject() multiple requeues all up to its tag", async (broker) => {
    const queue = await broker.queue();
    for (const text of ["1", "2", "3"]) await broker.put(queue, text);
    await broker.getSoon(queue);
    await broker.getSoon(queue);
    const third = await broker.getSoon(queue);
    await broker.channel.reject(third.deliveryTag, {
      requeue: true,
      multiple: true,
      ...soon(),
    });
    await broker.untilCount(queue, 3);
  }),
  onBroker("messages are settled out of order", async (broker) => {
    const queue = await broker.queue();
    const texts = Array.from({ length: 40 }, (_, i) => String(i));
    for (const text of texts) await broker.put(queue, text);
    const channel = await broker.openChannel();
    const collector = await broker.consume(queue, {}, channel);
    const deliveries = await collector.take(40);
    const odd = deliveries.filter((each) => Number(textOf(each)) % 2 === 1)
      .reverse();
    await Promise.all(odd.map((each) => channel.ack(each.deliveryTag, soon())));
    await channel[Symbol.asyncDispose]();
    await broker.untilCount(queue, 20);
    assert.deepEqual(
      (await broker.drain(queue)).sort(),
      texts.filter((_, i) => i % 2 === 0).sort(),
    );
  }),
  onBroker(
    "get() beside a consumer of the same channel: each settles its own",
    async (broker, harness) => {
      const [pushed, pulled] = [await broker.queue(), await broker.queue()];
      const texts = Array.from({ length: 100 }, (_, i) => String(i));
      for (const queue of [pushed, pulled]) {
        await Promise.all(texts.map((text) => broker.publish("", queue, text)));
      }
      const { channel } = await broker.openElsewhere();
      const settling: Promise<void>[] = [];
      const seen: (string | undefined)[] = [];
      const { promise: all, resolve } = Promise.withResolvers<void>();
      await channel.consume(pushed, (delivery) => {
        seen.push(textOf(delivery));
        settling.push(channel.ack(delivery.deliveryTag, soon()));
        if (seen.length === texts.length) resolve();
      }, { prefetch: 10, ...soon() });
      const got = await Promise.all(
        texts.map(() => channel.get(pulled, soon())),
      );
      await arrives(all, "all messages");
      await Promise.all(settling);
      assert.deepEqual(asTheyCome(seen, harness), asTheyCome(texts, harness));
      // Asked for at once: where each is a request of its own, they overtake each other.
      const numbers = got.map((each) => Number(textOf(each)));
      assert.deepEqual(numbers.toSorted((a, b) => a - b), texts.map(Number));
      // Every second one is settled; the others go back.
      for (const [i, delivery] of got.entries()) {
        if (delivery === undefined || i % 2 === 0) continue;
        await channel.ack(delivery.deliveryTag, soon());
      }
      await channel[Symbol.asyncDispose]();
      await broker.untilCount(pulled, 50);
      assert.equal(await broker.count(pushed), 0);
      assert.deepEqual(
        (await broker.drain(pulled)).map(Number).sort((a, b) => a - b),
        numbers.filter((_, i) => i % 2 === 0).sort((a, b) => a - b),
      );
    },
  ),
];
