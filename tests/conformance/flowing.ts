import assert from "node:assert/strict";
import type { Message } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { arrives, until } from "./support.ts";

/** How much a consumer takes, changed while it is at work. */
export const FLOWING: readonly ConformanceCase[] = [
  onStage(
    "pause() gives back what was fetched to others while a handler is at work, and resume() takes what comes",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 10; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue, { prefetch: 10 });
      const handled: number[] = [];
      const begun = Promise.withResolvers<void>();
      const others = Promise.withResolvers<void>();
      const running = consumer.run(async ({ payload }) => {
        handled.push(payload);
        if (handled.length === 2) return void consumer.cancel();
        begun.resolve();
        await others.promise;
      });
      await arrives(begun.promise, "the first message");
      await consumer.pause();
      const { healthy, reason, inFlight } = consumer.health();
      assert.deepEqual([healthy, reason, inFlight], [true, "it is paused", 1]);

      const other = open(harness);
      const rest = await take(other.consumer<number>(queue), 9);
      for (const message of rest) await message.ack();
      others.resolve();
      await until(() => consumer.health().inFlight === 0, "the handler's ack");
      await producer.publish(10);
      const [late] = await take(other.consumer<number>(queue), 1);
      await late?.ack();
      await other.close();

      assert.equal(handled.length, 1);
      consumer.resume();
      await producer.publish(11);
      await arrives(running, "the end of the run");
      assert.equal(handled[1], 11);
      assert.deepEqual(
        [handled[0], late?.payload, ...rest.map(({ payload }) => payload)]
          .toSorted((a = 0, b = 0) => a - b),
        [...Array(11).keys()],
      );
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "a consumer that is paused before it starts, or closed while it is paused, loses nothing",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      await producer.publish(1);
      const consumer = connection.consumer<number>(queue);
      await consumer.pause();
      const begun = Promise.withResolvers<void>();
      const paused = Promise.withResolvers<void>();
      const running = consumer.run(async () => {
        begun.resolve();
        await paused.promise;
      });
      await producer.publish(2);
      const [first] = await take(connection.consumer<number>(queue), 1);
      await first?.ack();
      consumer.resume();
      await arrives(begun.promise, "the handler");
      await Promise.all([consumer.pause(), consumer.pause()]);
      const closing = consumer.close();
      paused.resolve();
      await arrives(Promise.all([closing, running]), "the end");
      await assert.rejects(consumer.pause(), { code: "use-after-close" });
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "pause() holds over a broker that restarts, and so does resume()",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      await producer.publish(1);
      const consumer = connection.consumer<number>(queue);
      const handled: number[] = [];
      const running = consumer.run(({ payload }) => {
        handled.push(payload);
        if (payload === 3) void consumer.cancel();
      });
      await until(() => handled.length === 1, "the first message");
      await consumer.pause();
      await harness.restart?.();
      await producer.publish(2);
      const [other] = await take(connection.consumer<number>(queue), 1);
      assert.equal(other?.payload, 2);
      await other?.ack();
      assert.deepEqual(handled, [1]);
      consumer.resume();
      await producer.publish(3);
      await arrives(running, "the end of the run");
      assert.deepEqual(handled, [1, 3]);
    },
    { restarts: true },
  ),
  onStage(
    "setPrefetch() changes how many messages come unsettled, and others have the rest",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 10; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue, { prefetch: 2 });
      const messages = consumer[Symbol.asyncIterator]();
      const held: Message<number>[] = [];
      const next = async () => {
        const { value } = await arrives(messages.next(), "a message");
        assert.ok(value);
        held.push(value);
      };
      await next();
      await next();
      await consumer.setPrefetch(3);
      for (let n = 0; n < 3; n++) await next();
      await consumer.setPrefetch(1);

      const other = open(harness);
      await next();
      const rest = await take(other.consumer<number>(queue), 4);
      await Promise.all([...held, ...rest].map((message) => message.ack()));
      assert.equal(new Set([...held, ...rest].map((m) => m.payload)).size, 10);
      await producer.publish(10);
      await next();
      assert.equal(held.at(-1)?.payload, 10);
      await held.at(-1)?.ack();
      await messages.return?.();
      await other.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "rateLimit bounds how many messages a handler begins with in any interval",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 7; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const [limit, interval] = [2, 150];
      const start = performance.now();
      let count = 0;
      await arrives(
        consumer.run(() => {
          if (++count === 7) void consumer.cancel();
        }, { concurrency: 5, rateLimit: { limit, interval } }),
        "the end of the run",
      );
      // Each begins an interval after the second before it.
      assert.ok(performance.now() - start >= 3 * interval);
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "a message whose key has reached its rateLimit keeps no other waiting, and goes back when the consumer is paused, or ends",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer<string>({ queue });
      const consumer = connection.consumer<string>(queue);
      const seen: string[] = [];
      const running = consumer.run(({ payload }) => void seen.push(payload), {
        rateLimit: {
          limit: 1,
          interval: 600_000,
          key: ({ payload }) => payload.slice(0, 1),
        },
      });
      for (const each of ["a", "a2", "a3", "b"]) await producer.publish(each);
      await until(() => seen.includes("b"), "another key");
      await until(() => consumer.health().inFlight === 2, "two that wait");
      await consumer.pause();
      const other = open(harness);
      const back = await take(other.consumer<string>(queue), 2);
      for (const message of back) await message.ack();
      assert.equal(consumer.health().inFlight, 0);
      consumer.resume();
      await producer.publish("a4");
      await until(() => consumer.health().inFlight === 1, "one that waits");
      await producer.publish("c");
      await until(() => seen.includes("c"), "a third key");
      await consumer.close();
      await arrives(running, "the end of the run");
      const [last] = await take(other.consumer<string>(queue), 1);
      await last?.ack();
      assert.equal(seen.length, 3);
      assert.deepEqual(
        [...seen, ...back.map(({ payload }) => payload), last?.payload]
          .toSorted(),
        ["a", "a2", "a3", "a4", "b", "c"],
      );
      await other.close();
    },
  ),
  onStage(
    'rateLimit with the scope "queue" bounds all connections together, by a limit for each queue',
    async ({ connection, ...stage }, harness) => {
      const [queue, other] = [stage.queue(), stage.queue()];
      for (let n = 0; n < 7; n++) await connection.send(queue, n);
      await connection.send(other, 7);
      const [limit, interval] = [2, 150];
      const rateLimit = { limit, interval, scope: "queue" } as const;
      const connections = [connection, open(harness), open(harness)];
      const seen: unknown[] = [];
      const start = performance.now();
      const stop = new AbortController();
      const running = connections.map((each, n) =>
        each.consumer(n === 0 ? [queue, other] : queue, { prefetch: 1 })
          .run(({ payload }) => {
            if (seen.push(payload) === 8) stop.abort();
          }, { concurrency: 2, rateLimit, signal: stop.signal })
      );
      await arrives(Promise.all(running), "the end of the runs");
      // Each begins an interval after the second before it, in whichever of them.
      assert.ok(performance.now() - start >= 3 * interval);
      assert.deepEqual(seen.toSorted(), [...Array(8).keys()]);
      for (const each of connections.slice(1)) await each.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
    { needs: ["shared-rate"] },
  ),
  onStage(
    "a message that waits for all processes keeps no other key waiting, and goes back when the consumer is paused, or ends",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer<string>({ queue });
      const rateLimit = {
        limit: 1,
        interval: 600_000,
        scope: "queue",
        key: ({ payload }: Message<string>) => payload.slice(0, 1),
      } as const;
      const seen: string[] = [];
      const first = connection.consumer<string>(queue);
      const begun = Promise.withResolvers<void>();
      await producer.publish("a");
      const ran = first.run(() => begun.resolve(), { rateLimit });
      await arrives(begun.promise, "the first message");
      await first.cancel();
      await ran;

      const other = open(harness);
      const consumer = other.consumer<string>(queue);
      const running = consumer.run(({ payload }) => void seen.push(payload), {
        rateLimit,
      });
      for (const each of ["a2", "b"]) await producer.publish(each);
      await until(() => seen.length === 1, "another key");
      await until(() => consumer.health().inFlight === 1, "one that waits");
      await consumer.pause();
      const [back] = await take(connection.consumer<string>(queue), 1);
      assert.equal(back?.payload, "a2");
      consumer.resume();
      await back?.requeue();
      await until(() => consumer.health().inFlight === 1, "one that waits");
      await consumer.close();
      await arrives(running, "the end of the run");
      const [last] = await take(connection.consumer<string>(queue), 1);
      assert.deepEqual([seen, last?.payload], [["b"], "a2"]);
      await last?.ack();
      await other.close();
    },
    { needs: ["shared-rate"] },
  ),
  onStage(
    "a limit for all processes outlasts a broker that restarts",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      const consumer = connection.consumer<number>(queue);
      // The ack of the first may be on its way when the broker ends: then it comes again.
      const seen = new Set<number>();
      const running = consumer.run(({ payload }) => {
        if (seen.add(payload).size === 2) void consumer.cancel();
      }, { rateLimit: { limit: 1, interval: 2000, scope: "queue" } });
      for (let n = 0; n < 2; n++) await producer.publish(n);
      await until(() => seen.size === 1, "the first message");
      await harness.restart?.();
      await arrives(running, "the end of the run");
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
    { needs: ["shared-rate"], restarts: true },
  ),
  onStage(
    "a limit for all processes is refused where the broker counts for nobody",
    async ({ connection, ...stage }) => {
      const consumer = connection.consumer(stage.queue());
      const rateLimit = { limit: 1, interval: 1000, scope: "queue" } as const;
      await assert.rejects(
        arrives(consumer.run(() => {}, { rateLimit }), "an error"),
        { code: "unsupported", message: /"shared-rate"/ },
      );
    },
    { lacks: ["shared-rate"] },
  ),
  onStage(
    "setConcurrency() lets more handlers run, and fewer",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 9; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const ends: (() => void)[] = [];
      let [active, count, most] = [0, 0, 0];
      const running = consumer.run(async () => {
        most = Math.max(most, ++active);
        const { promise, resolve } = Promise.withResolvers<void>();
        ends.push(resolve);
        await promise;
        active--;
        if (++count === 9) void consumer.cancel();
      });
      await until(() => ends.length === 1, "the first handler");
      consumer.setConcurrency(4);
      await until(() => ends.length === 4, "three more");
      consumer.setConcurrency(2);
      most = 0;
      ends[0]?.();
      ends[1]?.();
      ends[2]?.();
      await until(() => ends.length === 5, "one in place of three");
      for (let n = 3; n < 9; n++) {
        await until(() => ends.length > n, "a handler");
        ends[n]?.();
      }
      await arrives(running, "the end of the run");
      assert.equal(most, 2);
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
];
