import assert from "node:assert/strict";
import { PublishAllError } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, take } from "./stage.ts";
import { arrives } from "./support.ts";

/** Many messages in one call, each of which is answered for by itself. */
export const BATCHING: readonly ConformanceCase[] = [
  onStage(
    "publishAll() publishes what an iterator yields, no faster than the broker takes it, and tells of each",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<unknown>({ queue, maxInFlight: 5 });
      let [yielded, most] = [0, 0];
      async function* payloads() {
        for (; yielded < 60; yielded++) {
          most = Math.max(most, producer.inFlight);
          yield yielded % 20 === 7 ? () => "no payload" : yielded;
        }
      }
      const { published, failed, complete } = await producer.publishAll(
        payloads(),
        { each: (_, index) => ({ messageId: `all-${index}` }) },
      );
      assert.deepEqual([published, complete], [57, true]);
      assert.deepEqual(failed.map(({ index }) => index), [7, 27, 47]);
      assert.ok(failed.every(({ error }) => error.name === "EncodeError"));
      assert.ok(most <= 5, `${most} were in flight`);
      const messages = await take(connection.consumer<number>(queue), 57);
      for (const { payload, properties } of messages) {
        assert.equal(properties.messageId, `all-${payload}`);
      }
      assert.equal(new Set(messages.map((each) => each.payload)).size, 57);
      await Promise.all(messages.map((message) => message.ack()));
    },
  ),
  onStage(
    "publishAll() whose source throws tells what became of each",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<unknown>({ queue });
      const cause = new Error("the file is gone");
      function* payloads() {
        yield 1;
        yield () => "no payload";
        yield 2;
        throw cause;
      }
      const error = await producer.publishAll(payloads()).catch((e) => e);
      assert.ok(error instanceof PublishAllError, `${error}`);
      assert.equal(error.published, 2);
      assert.deepEqual(error.failed.map(({ index }) => index), [1]);
      assert.equal(error.cause, cause);
      const messages = await take(connection.consumer<number>(queue), 2);
      await Promise.all(messages.map((message) => message.ack()));
    },
  ),
  onStage(
    "runBatches(): of 100 messages 97 are acked by their handler, and 3 tried again",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      await Promise.all(
        Array.from({ length: 100 }, (_, n) => producer.publish(n)),
      );
      const consumer = connection.consumer<number>(queue);
      const failing = new Set([3, 50, 99]);
      const seen = new Map<number, number[]>();
      let [left, most] = [103, 0];
      await arrives(
        consumer.runBatches(async (messages) => {
          most = Math.max(most, messages.length);
          for (const { payload, attempt } of messages) {
            seen.set(payload, [...seen.get(payload) ?? [], attempt]);
          }
          if ((left -= messages.length) === 0) await consumer.cancel();
          const good = messages.filter(({ payload, attempt }) =>
            attempt > 1 || !failing.has(payload)
          );
          await Promise.all(good.map((message) => message.ack()));
          if (good.length < messages.length) throw new Error("some failed");
        }, { size: 100, wait: 500, retry: { attempts: 2, backoff: 0 } }),
        "all of them",
      );
      assert.ok(most <= 100, `${most} messages in a batch of 100`);
      assert.equal(seen.size, 100);
      for (const [payload, attempts] of seen) {
        assert.deepEqual(attempts, failing.has(payload) ? [1, 2] : [1]);
      }
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "runBatches() acks what its handler left, and waits for no full batch",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 10; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const seen: number[] = [];
      await arrives(
        consumer.runBatches(async (messages) => {
          await messages[0]?.ack();
          for (const { payload } of messages) seen.push(payload);
          if (seen.length === 10) await consumer.cancel();
        }, { size: 50 }),
        "ten messages",
      );
      assert.deepEqual(seen.toSorted((a, b) => a - b), [...Array(10).keys()]);
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "runBatches() parks what fails for good, one by one, but for what its handler has settled",
    async ({ connection, ...stage }) => {
      const dead = stage.queue();
      const queue = stage.queue({ deadLetter: dead });
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 5; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const told: number[] = [];
      let count = 0;
      await arrives(
        consumer.runBatches(async (messages) => {
          await messages.find(({ payload }) => payload === 0)?.ack();
          if ((count += messages.length) === 5) await consumer.cancel();
          throw new Error("no");
        }, {
          size: 5,
          wait: 500,
          retry: false,
          onError: (_, { payload }) => void told.push(payload),
        }),
        "the end",
      );
      assert.deepEqual(told.filter((n) => n > 0).toSorted(), [1, 2, 3, 4]);
      const parked = await take(connection.consumer<number>(dead), 4);
      assert.deepEqual(
        parked.map(({ payload }) => payload).toSorted(),
        [1, 2, 3, 4],
      );
      for (const message of parked) await message.ack();
      assert.equal((await connection.declare(queue)).messageCount, 0);
      assert.equal((await connection.declare(dead)).messageCount, 0);
    },
    { needs: ["dead-letter"] },
  ),
];
