import assert from "node:assert/strict";
import type { Connection } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { arrives, until } from "./support.ts";

/** The circuit breakers of runs. */
export const BREAKING: readonly ConformanceCase[] = [
  onStage(
    "a circuit breaker opens when handlers fail, lets one message at a time be on trial, and closes when that succeeds",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 10; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const told = events(connection);
      const handled = new Set<number>();
      let [active, opened, trials, most] = [0, 0, 0, 0];
      const running = consumer.run(async ({ payload }) => {
        active++;
        if (told.types.at(-1) === "breaker-opened") {
          trials++;
          most = Math.max(most, active);
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
        active--;
        if (opened < 2) throw new Error("it is down");
        handled.add(payload);
        if (handled.size === 10) void consumer.cancel();
      }, {
        concurrency: 5,
        retry: { attempts: 50, backoff: 0 },
        breaker: { failures: 3, within: 60_000, rest: 50 },
      });
      await until(() => {
        opened = told.types.filter((type) => type === "breaker-opened").length;
        return told.types.at(-1) === "breaker-closed";
      }, "a breaker that is closed again");
      await arrives(running, "the end of the run");
      await told.end();
      assert.deepEqual(told.types.slice(0, -1), [
        ...Array(told.types.length - 1).fill("breaker-opened"),
      ]);
      assert.ok(opened >= 2);
      assert.equal(trials, opened);
      assert.equal(most, 1);
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "a circuit breaker that has closed lets as many messages be at work as before",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 4; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const told = events(connection);
      const together = Promise.withResolvers<void>();
      let [trials, active] = [0, 0];
      const running = consumer.run(async () => {
        if (!told.types.includes("breaker-opened")) throw new Error("down");
        if (++trials === 1) return;
        if (++active === 3) together.resolve();
        await together.promise;
      }, {
        concurrency: 3,
        retry: { attempts: 50, backoff: 0 },
        breaker: { failures: 1, within: 60_000, rest: 20 },
      });
      try {
        await arrives(together.promise, "three messages at work at once");
      } finally {
        together.resolve();
        await consumer.close();
        await told.end();
      }
      await arrives(running, "the end of the run");
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "an open circuit breaker holds nothing back from others, and a pause of the user outlasts it",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 5; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const seen: number[] = [];
      const told = events(connection);
      let pausing = Promise.resolve();
      const running = consumer.run(({ payload }) => {
        seen.push(payload);
        if (seen.length > 1) return void consumer.cancel();
        pausing = consumer.pause();
        throw new Error("it is down");
      }, {
        retry: false,
        onFailure: "drop",
        breaker: { failures: 1, within: 60_000, rest: 20 },
      });
      await until(() => told.types.includes("breaker-opened"), "its opening");
      await arrives(pausing, "the pause");
      assert.equal(consumer.health().reason, "it is paused");
      const other = open(harness);
      const rest = await take(other.consumer<number>(queue), 4);
      for (const message of rest) await message.ack();
      await other.close();
      assert.equal(seen.length, 1);
      consumer.resume();
      await producer.publish(5);
      await arrives(running, "the end of the run");
      assert.equal(seen[1], 5);
      await told.end();
      assert.deepEqual(told.types, [
        "consumer-paused",
        "breaker-opened",
        "consumer-resumed",
        "breaker-closed",
      ]);
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "a consumer whose circuit breaker is open is healthy, says until when, stays so over resume(), and is closed at once",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 5; n++) await producer.publish(n);
      const consumer = connection.consumer<number>(queue);
      const breaker = { failures: 2, within: 60_000, rest: 600_000 };
      const running = consumer.run(() => {
        throw new Error("it is down");
      }, { retry: { attempts: 50, backoff: 0 }, breaker });
      const isOpen = "its circuit breaker is open until ";
      await until(
        () => consumer.health().reason?.startsWith(isOpen) === true,
        "its opening",
      );
      await until(() => consumer.health().inFlight === 0, "its retries");
      await consumer.pause();
      assert.equal(consumer.health().reason, "it is paused");
      consumer.resume();
      const { healthy, ready, reason } = consumer.health();
      assert.deepEqual([healthy, ready], [true, false]);
      const until_ = Date.parse(reason?.slice(isOpen.length) ?? "");
      assert.ok(until_ > Date.now() + 300_000, reason);
      await arrives(consumer.close(), "the end of the consumer");
      await arrives(running, "the end of the run");
      const again = connection.consumer<number>(queue);
      for (const message of await take(again, 5)) await message.ack();
      await again.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "a consumer whose run has ended while its circuit breaker was open takes messages again",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.producer<number>({ queue }).publish(1);
      const consumer = connection.consumer<number>(queue);
      const isOpen = Promise.withResolvers<void>();
      const running = consumer.run(() => {
        isOpen.resolve();
        throw new Error("it is down");
      }, {
        retry: { attempts: 50, backoff: 0 },
        breaker: { failures: 1, within: 60_000, rest: 600_000 },
      });
      await arrives(isOpen.promise, "the failure");
      await until(
        () =>
          consumer.health().reason?.startsWith(
            "its circuit breaker is open",
          ) ===
            true,
        "its opening",
      );
      await consumer.cancel();
      await arrives(running, "the end of the run");
      for (const message of await take(consumer, 1)) await message.ack();
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "an open circuit breaker outlasts a broker that restarts",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.producer<number>({ queue }).publish(1);
      const consumer = connection.consumer<number>(queue);
      const told = events(connection);
      let isDown = true;
      const running = consumer.run(() => {
        if (isDown) throw new Error("it is down");
        void consumer.cancel();
      }, {
        retry: { attempts: 500, backoff: 0 },
        breaker: { failures: 1, within: 60_000, rest: 500 },
      });
      await until(() => told.types.includes("breaker-opened"), "its opening");
      // One that is settled in this moment may come twice.
      await until(() => consumer.health().inFlight === 0, "its settlement");
      await harness.restart?.();
      await connection.connect();
      isDown = false;
      await arrives(running, "the end of the run");
      await until(() => told.types.includes("breaker-closed"), "its closing");
      await told.end();
      await consumer.close();
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
    { restarts: true },
  ),
  onStage(
    "batches, routes and requests have circuit breakers, which count calls of handlers",
    async ({ connection, ...stage }) => {
      const [rows, kinds, sums] = [stage.queue(), stage.queue(), stage.queue()];
      for (const each of [rows, kinds, sums]) await connection.declare(each);
      const told = events(connection);
      const opened = (queue: { readonly name: string }) =>
        told.all.filter(({ type, queues }) =>
          type === "breaker-opened" && queues[0] === queue.name
        ).length;
      const breaker = { failures: 2, within: 60_000, rest: 20 };
      const retry = { attempts: 50, backoff: 0 };

      for (let n = 0; n < 6; n++) await connection.send(rows, n);
      const batches = connection.consumer<number>(rows);
      let [left, calls, early, trial] = [6, 0, 0, 0];
      const batching = batches.runBatches((messages) => {
        if (++calls <= 2) {
          early += opened(rows);
          throw new Error("it is down");
        }
        if (calls === 3) trial = messages.length;
        if ((left -= messages.length) === 0) void batches.cancel();
      }, { size: 3, wait: 30, retry, breaker });
      await arrives(batching, "the batches");
      // Though a batch has several messages it fails once.
      assert.deepEqual([early, trial], [0, 1]);
      await until(() => opened(rows) === 1, "the breaker of the batches");

      const routes = connection.consumer(kinds);
      await connection.send(kinds, 1, { type: "a" });
      await connection.send(kinds, 1, { type: "unknown" });
      let tries = 0;
      await arrives(
        routes.route({
          a: () => {
            if (++tries <= 2) throw new Error("it is down");
            void routes.cancel();
          },
        }, { unknown: "skip", retry, breaker }),
        "the routes",
      );
      await until(() => opened(kinds) === 1, "the breaker of the routes");

      const server = connection.consumer<number>(sums);
      let asked = 0;
      const serving = server.serve(({ payload }) => {
        if (++asked <= 2) throw new Error("it is down");
        return payload + 1;
      }, { breaker });
      const ask = (n: number) =>
        connection.request<number>(n, { routingKey: sums.name });
      for (let n = 0; n < 2; n++) {
        await assert.rejects(ask(n), { code: "remote-failed" });
      }
      assert.equal(await ask(2), 3);
      await until(() => opened(sums) === 1, "the breaker of the requests");
      await server.cancel();
      await arrives(serving, "the end of serving");
      await told.end();
    },
  ),
];

/** The events of consumers' flow. */
interface Told {
  readonly type: string;
  readonly queues: readonly string[];
}

/** Listens to what a connection tells of pauses and breakers. */
function events(connection: Connection): {
  readonly all: readonly Told[];
  readonly types: readonly string[];
  end(): Promise<void>;
} {
  const all: Told[] = [];
  const types: string[] = [];
  const ending = new AbortController();
  const { signal } = ending;
  const listening = (async () => {
    for await (const event of connection.events({ signal })) {
      if (!/^(breaker|consumer)-/.test(event.type)) continue;
      if (!("queues" in event)) continue;
      all.push(event);
      types.push(event.type);
    }
  })().catch((error) => {
    if (!signal.aborted) throw error;
  });
  return {
    all,
    types,
    async end() {
      // The events that were told are in its mailbox already.
      await new Promise((resolve) => setTimeout(resolve));
      ending.abort();
      await listening;
    },
  };
}
