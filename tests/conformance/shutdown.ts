import assert from "node:assert/strict";
import type { Message } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { arrives, inTime } from "./support.ts";

/** Ends in good order. */
export const SHUTDOWN: readonly ConformanceCase[] = [
  onStage(
    "close() gives back what nobody has begun with at once, waits for handlers, and sends their acks (row 7)",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const replies = stage.queue();
      const producer = connection.producer<number>({
        declare: [queue, replies],
      });
      for (let i = 0; i < 10; i++) {
        await producer.publish(i, { routingKey: queue.name });
      }
      const worker = open(harness);
      const reply = worker.producer();
      const begun = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      let count = 0;
      const running = worker.consumer<number>(queue).run(async () => {
        if (++count === 2) begun.resolve();
        await release.promise;
        await reply.publish("done", { routingKey: replies.name });
      }, { concurrency: 2 });
      await arrives(begun.promise, "two handlers");
      let closed = false;
      const closing = worker.close().then(() => closed = true);
      const other = connection.consumer<number>(queue);
      const given = await take(other, 8);
      assert.equal(closed, false);
      for (const message of given) await message.ack();
      release.resolve();
      await arrives(closing, "the end of close()");
      await arrives(running, "the end of run()");
      assert.equal(count, 2);
      const statuses = await connection.declare([queue, replies]);
      assert.deepEqual(
        statuses.map(({ messageCount }) => messageCount),
        [0, 2],
      );
    },
  ),
  onStage(
    "close() returns by its drainTimeout, and what a handler still has is no longer its own (row 7)",
    async ({ connection, ...stage }, harness) => {
      // Time enough to give back what it holds: the rest would come after its lease.
      await inTime([1000, 6000], async (drainTimeout) => {
        const queue = stage.queue();
        await connection.producer({ declare: [queue] }).publish(1, {
          routingKey: queue.name,
        });
        const worker = open(harness);
        const begun = Promise.withResolvers<Message<unknown>>();
        const release = Promise.withResolvers<void>();
        const running = worker.consumer(queue).run(async (message) => {
          begun.resolve(message);
          await release.promise;
        });
        const message = await arrives(begun.promise, "a handler");
        const { signal } = message;
        const began = performance.now();
        try {
          await arrives(worker.close({ drainTimeout }), "the end of close()");
          const took = performance.now() - began - drainTimeout;
          assert.ok(took >= -1 && took < 9000, `it took ${took} ms more`);
          assert.equal(signal.aborted, true);
          await arrives(running, "the end of run()");
          const [again] = await take(connection.consumer(queue), 1);
          await again?.ack();
        } finally {
          release.resolve();
        }
      });
    },
  ),
  onStage(
    "a run ends by its drainTimeout though a handler is in each of its places, and close() gives back what they have (row 7)",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.send(queue, 1);
      const worker = open(harness);
      const begun = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      const stop = new AbortController();
      const running = worker.consumer(queue).run(async () => {
        begun.resolve();
        await release.promise;
      }, { drainTimeout: 10, signal: stop.signal });
      await arrives(begun.promise, "a handler");
      stop.abort();
      await arrives(running, "the end of run()");
      await arrives(worker.close(), "the end of close()");
      const [again] = await take(connection.consumer(queue), 1);
      await again?.ack();
      release.resolve();
    },
  ),
  onStage(
    "a consumer is closed by itself, with its handlers, and others go on (row 7)",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ declare: [queue] });
      await producer.publish(1, { routingKey: queue.name });
      const begun = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      const consumer = connection.consumer<number>(queue);
      const running = consumer.run(async () => {
        begun.resolve();
        await release.promise;
      });
      await arrives(begun.promise, "a handler");
      const closing = consumer.close();
      assert.equal(consumer.close(), closing);
      release.resolve();
      await arrives(closing, "the end of close()");
      await running;
      await producer.publish(2, { routingKey: queue.name });
      const [second] = await take(connection.consumer<number>(queue), 1);
      assert.equal(second?.payload, 2);
      await second?.ack();
    },
  ),
];
