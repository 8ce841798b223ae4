import assert from "node:assert/strict";
import { connect } from "./broker.ts";
import { arrives, publishing, rejectsWith, soon } from "./support.ts";
import { type ConformanceCase, onBroker, onHarness } from "./case.ts";

/** The ends of channels and connections. */
export const CLOSING: readonly ConformanceCase[] = [
  onHarness("connect(), close, connect() again", async (harness) => {
    for (let i = 0; i < 3; i++) {
      const connection = await connect(harness);
      await connection[Symbol.asyncDispose]();
      assert.equal((await connection.closed).type, "closed");
    }
  }),
  onHarness("a connection is closed by ten at once", async (harness) => {
    const connection = await connect(harness);
    const channel = await connection.openChannel(soon());
    await Promise.all(
      Array.from({ length: 10 }, () => connection[Symbol.asyncDispose]()),
    );
    await channel[Symbol.asyncDispose]();
    assert.equal((await connection.closed).type, "closed");
    assert.equal((await channel.closed).type, "closed");
  }),
  onHarness("a closed connection opens no channel", async (harness) => {
    const connection = await connect(harness);
    await connection[Symbol.asyncDispose]();
    await rejectsWith(connection.openChannel(soon()), "use-after-close");
  }),
  onBroker(
    "a closed channel rejects every call with use-after-close",
    async (broker) => {
      const queue = await broker.queue();
      const channel = await broker.openChannel();
      await channel[Symbol.asyncDispose]();
      await channel[Symbol.asyncDispose]();
      assert.equal((await channel.closed).type, "closed");
      const calls = [
        channel.checkQueue(queue, soon()),
        channel.declareQueue(broker.queueOf(), soon()),
        channel.publish(publishing("", queue, "x"), soon()),
        channel.get(queue, soon()),
        channel.consume(queue, () => {}, { prefetch: 1, ...soon() }),
      ];
      for (const call of calls) await rejectsWith(call, "use-after-close");
    },
  ),
  onBroker(
    "unsettled messages go back when their channel is closed, marked",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["1", "2", "3"]) await broker.put(queue, text);
      const channel = await broker.openChannel();
      const collector = await broker.consume(queue, {}, channel);
      await collector.take(3);
      await channel[Symbol.asyncDispose]();
      await broker.untilCount(queue, 3);
      const again = await broker.getSoon(queue);
      assert.equal(again.redelivered, true);
    },
  ),
  onBroker(
    "unsettled messages go back when their connection is closed",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["1", "2"]) await broker.put(queue, text);
      const { connection, channel } = await broker.openElsewhere();
      await channel.get(queue, soon());
      await broker.consume(queue, {}, channel);
      await connection[Symbol.asyncDispose]();
      await broker.untilCount(queue, 2);
    },
  ),
  onBroker(
    "a channel is closed while calls wait, and they settle",
    async (broker) => {
      const queue = await broker.queue();
      const channel = await broker.openChannel();
      const calls = [
        channel.checkQueue(queue, soon()),
        channel.get(queue, soon()),
        channel.publish(publishing("", queue, "x"), soon()),
        channel.consume(queue, () => {}, { prefetch: 1, ...soon() }),
      ];
      const settled = Promise.allSettled(calls);
      await channel[Symbol.asyncDispose]();
      for (const result of await arrives(settled, "the end of the calls")) {
        if (result.status === "fulfilled") continue;
        assert.equal(result.reason.code, "use-after-close");
      }
    },
  ),
  onBroker(
    "a connection is closed while calls wait, and they settle",
    async (broker) => {
      const queue = await broker.queue();
      await broker.put(queue, "there"); // an empty queue leaves no trace on some
      const { connection, channel } = await broker.openElsewhere();
      const calls = [
        channel.checkQueue(queue, soon()),
        channel.publish(publishing("", queue, "x"), soon()),
        connection.openChannel(soon()),
      ];
      const settled = Promise.allSettled(calls);
      await connection[Symbol.asyncDispose]();
      for (const result of await arrives(settled, "the end of the calls")) {
        if (result.status === "fulfilled") continue;
        assert.equal(result.reason.code, "use-after-close");
      }
    },
  ),
  onBroker(
    "ten consumers are opened and closed at once, and nothing is lost",
    async (broker) => {
      const queue = await broker.queue();
      const channels = await Promise.all(
        Array.from({ length: 10 }, () => broker.openChannel()),
      );
      const texts = Array.from({ length: 50 }, (_, i) => String(i));
      await Promise.all([
        ...texts.map((text) => broker.publish("", queue, text)),
        ...channels.map(async (channel) => {
          await broker.consume(queue, { prefetch: 5 }, channel);
          await channel[Symbol.asyncDispose]();
        }),
      ]);
      await broker.untilCount(queue, 50);
      assert.deepEqual((await broker.drain(queue)).sort(), texts.sort());
    },
  ),
  onBroker(
    "messages are read over repeated consumers, and none is lost",
    async (broker) => {
      const queue = await broker.queue();
      const texts = Array.from({ length: 300 }, (_, i) => String(i));
      await Promise.all(texts.map((text) => broker.publish("", queue, text)));
      const seen = new Set<string>();
      while (seen.size < texts.length) {
        const channel = await broker.openChannel();
        const collector = await broker.consume(
          queue,
          { prefetch: 40 },
          channel,
        );
        const count = Math.min(25, texts.length - seen.size);
        for (const delivery of await collector.take(count)) {
          await channel.ack(delivery.deliveryTag, soon());
          const text = new TextDecoder().decode(delivery.body);
          assert.ok(!seen.has(text), `"${text}" came again after its ack`);
          seen.add(text);
        }
        await channel[Symbol.asyncDispose]();
      }
      assert.equal(seen.size, texts.length);
      await broker.untilCount(queue, 0);
    },
  ),
];
