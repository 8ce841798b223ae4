import assert from "node:assert/strict";
import { type ConformanceCase, onBroker } from "./case.ts";
import { onStage, take } from "./stage.ts";
import { arrives, asTheyCome, soon, textOf } from "./support.ts";

/** How many are held at once. */
const MANY = 60;

/** Messages that are requeued: the consumer that gets them, and that none is lost on the way. */
export const REQUEUING: readonly ConformanceCase[] = [
  onStage(
    "message.requeue({ delay }) brings it back later as it was, whatever its headers say, and no attempt is counted",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<string>({ queue });
      // A stream's messages cannot be put back; this is none of those.
      const headers = { kept: 1, "x-stream-offset": 7 };
      await producer.publish("x", { headers, messageId: "m" });
      const began = performance.now();
      const consumer = connection.consumer<string>(queue);
      const seen: unknown[] = [];
      let isSettled = false;
      await arrives(
        consumer.run(async (message) => {
          const { payload, properties, attempt } = message;
          seen.push([payload, properties.messageId, message.headers, attempt]);
          if (seen.length > 1) return void consumer.cancel();
          await message.requeue({ delay: 1000 });
          isSettled = message.settled;
        }),
        "the message, again",
      );
      assert.equal(isSettled, true);
      const one = ["x", "m", headers, 1];
      assert.deepEqual(seen, [one, one]);
      assert.ok(performance.now() - began >= 500, "it came at once");
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
    { needs: ["delay"] },
  ),
  onStage(
    "message.requeue() refuses what is no delay, and options that there are not, and stays unsettled",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.send(queue, "x");
      const [message] = await take(connection.consumer<string>(queue), 1);
      assert.ok(message !== undefined);
      for (const delay of [-1, NaN, Infinity]) {
        await assert.rejects(message.requeue({ delay }), RangeError);
      }
      for (const verb of ["ack", "reject", "requeue"] as const) {
        const options = JSON.parse('{"dealy": 1}'); // as from no compiler
        await assert.rejects(async () => await message[verb](options), /dealy/);
        assert.equal(message.settled, false);
      }
      await message.requeue({ delay: 0 });
      const [again] = await take(connection.consumer<string>(queue), 1);
      assert.equal(again?.payload, "x");
      await again?.ack();
    },
  ),
  onBroker(
    "messages that somebody else requeues, or leaves behind, come to a consumer that waits",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["requeued", "left"]) await broker.put(queue, text);
      const { connection, channel } = await broker.openElsewhere();
      const held = [
        await channel.get(queue, soon()),
        await channel.get(queue, soon()),
      ];
      const [first] = held;
      assert.ok(first !== undefined && held[1] !== undefined);
      const collector = await broker.consume(queue);
      // Once it has had one it has nothing to do but wait.
      await broker.put(queue, "marker");
      const marker = await collector.next();
      assert.equal(textOf(marker), "marker");
      await broker.channel.ack(marker.deliveryTag, soon());
      await channel.reject(first.deliveryTag, { requeue: true, ...soon() });
      const again = await collector.next();
      assert.deepEqual(
        [textOf(again), again.redelivered],
        [textOf(first), true],
      );
      await broker.channel.ack(again.deliveryTag, soon());
      await connection[Symbol.asyncDispose]();
      const last = await collector.next();
      assert.deepEqual([textOf(last), last.redelivered], [
        textOf(held[1]),
        true,
      ]);
      await broker.channel.ack(last.deliveryTag, soon());
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker(
    "a message is requeued again and again, and stays what it is",
    async (broker) => {
      const queue = await broker.queue();
      await broker.put(queue, "x", { headers: { kept: 1 }, messageId: "m" });
      for (let i = 0; i < 6; i++) {
        const delivery = await broker.getSoon(queue);
        assert.deepEqual(
          [textOf(delivery), delivery.redelivered],
          ["x", i > 0],
        );
        assert.equal(delivery.properties.headers?.kept, 1);
        assert.equal(delivery.properties.messageId, "m");
        const options = { requeue: true, ...soon() };
        await broker.channel.reject(delivery.deliveryTag, options);
      }
      assert.deepEqual(await broker.drain(queue), ["x"]);
    },
  ),
  onBroker(
    "a message with an expiration is requeued again and again, and is not lost before",
    async (broker) => {
      const queue = await broker.queue();
      await broker.put(queue, "x", { expiration: 600_000 });
      for (let i = 0; i < 6; i++) {
        const { deliveryTag } = await broker.getSoon(queue);
        const options = { requeue: true, ...soon() };
        await broker.channel.reject(deliveryTag, options);
      }
      assert.deepEqual(await broker.drain(queue), ["x"]);
    },
    { needs: ["message-ttl"] },
  ),
  onBroker(
    "all of many that a connection held go back when it is closed, in their order",
    async (broker, harness) => {
      const queue = await broker.queue();
      const texts = Array.from({ length: MANY }, (_, i) => String(i));
      for (const text of texts) await broker.put(queue, text);
      const { connection, channel } = await broker.openElsewhere();
      const collector = await broker.consume(
        queue,
        { prefetch: MANY },
        channel,
      );
      for (const { deliveryTag } of await collector.take(MANY)) {
        // Every third is settled: the others are not one piece.
        if (Number(deliveryTag) % 3 === 0) {
          await channel.ack(deliveryTag, soon());
        }
      }
      await connection[Symbol.asyncDispose]();
      const left = collector.all.filter(({ deliveryTag }) =>
        Number(deliveryTag) % 3 !== 0
      ).map((each) => textOf(each) ?? "");
      await broker.untilCount(queue, left.length);
      assert.deepEqual(
        asTheyCome(await broker.drain(queue), harness),
        asTheyCome(left, harness),
      );
    },
  ),
];
