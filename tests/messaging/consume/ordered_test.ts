/**
 * Runs in the order of keys on a broker that hands out several messages of a key at once
 * and in order, and moves what goes back later behind the others, as a partition of
 * RabbitMQ: what is kept in order is the runner's doing.
 */

import { assertEquals } from "@std/assert";
import {
  type Connection,
  createConnection,
  Queue,
  type RunOptions,
} from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import type { Capability, CloseReason, Transport } from "@dashi/mq/transport";
import { createStoreTransport } from "@dashi/mq/store";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { changed } from "../../support/stores.ts";
import { until } from "../../conformance/support.ts";

const QUEUE = "orders";

/** Loses the connections that are open: what they held is in its place again. */
type Cut = () => void;

function partition(cuts: Cut[]): Transport {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  return createStoreTransport({
    name: "partition",
    open: (_, options) => {
      const inner = new MemoryStore(broker, options);
      const store = changed(inner, {});
      const { promise, resolve } = Promise.withResolvers<CloseReason>();
      cuts.push(() => {
        resolve({ type: "lost", error: new Error("cut by the test") });
        void inner[Symbol.asyncDispose]();
      });
      const closed = Promise.race([inner.closed, promise]);
      const capabilities = new Set<Capability>(
        [...store.capabilities].filter((each) => each !== "key-fairness"),
      );
      return Promise.resolve({ ...store, capabilities, closed });
    },
  });
}

/** Registers a test with a connection, and a queue with texts whose first letter is their key. */
function test(
  name: string,
  texts: readonly string[],
  run: (
    connection: Connection,
    left: () => Promise<string[]>,
    cut: Cut,
  ) => Promise<void>,
): void {
  Deno.test(`an ordered run ${name}`, async () => {
    const cuts: Cut[] = [];
    await using connection = createConnection("partition://x", {
      transport: partition(cuts),
      reconnect: { initialDelay: 1, maxDelay: 1 },
      onUnhandled: () => {},
    });
    await connection.declare(new Queue(QUEUE));
    const producer = connection.producer<string>({ queue: QUEUE });
    for (const text of texts) {
      await producer.publish(text, { key: text.slice(0, 1) });
    }
    await run(connection, async () => {
      const left: string[] = [];
      const queue = connection.queue<string>(QUEUE);
      for (
        let message = await queue.get();
        message !== undefined;
        message = await queue.get()
      ) {
        left.push(message.payload);
        await message.ack();
      }
      return left;
    }, () => {
      for (const cut of cuts.splice(0)) cut();
    });
  });
}

const ORDERED: RunOptions<string> = { ordered: true, concurrency: 4 };

function ofKey(key: string, texts: readonly string[]): string[] {
  return texts.filter((each) => each.startsWith(key));
}

const MANY = Array.from(
  { length: 300 },
  (_, i) => `${"abcdefgh"[i % 8]}${Math.floor(i / 8)}`,
);

test(
  "handles one message of a key at a time, and retries before what lies behind",
  MANY,
  async (connection, left) => {
    const consumer = connection.consumer<string>(QUEUE);
    const [busy, first, done] = [new Set<string>(), new Set<string>(), []];
    const handled: string[] = done;
    const twice: string[] = [];
    let most = 0;
    await consumer.run(async ({ payload, key = "" }) => {
      if (busy.has(key)) twice.push(payload);
      busy.add(key);
      most = Math.max(most, busy.size);
      first.add(payload);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 2));
      busy.delete(key);
      if (Math.random() < 0.2) throw new Error("by chance");
      handled.push(payload);
      if (handled.length === MANY.length) void consumer.cancel();
    }, {
      ...ORDERED,
      retry: { attempts: 100, backoff: () => Math.floor(Math.random() * 3) },
    });
    for (const key of "abcdefgh") {
      assertEquals(ofKey(key, handled), ofKey(key, MANY));
      assertEquals(ofKey(key, [...first]), ofKey(key, MANY));
    }
    assertEquals([twice, most, await left()], [[], 4, []]);
  },
);

test(
  "gives what waits no place: neither behind its key, nor between two attempts",
  ["a1", "a2", "a3", "a4", "b1", "c1", "b2"],
  async (connection, left) => {
    const consumer = connection.consumer<string>(QUEUE);
    const calls: string[] = [];
    const failed = Promise.withResolvers<void>();
    await consumer.run(async ({ payload, attempt }) => {
      calls.push(`${payload}.${attempt}`);
      if (payload === "a1" && attempt === 1) {
        throw new Error("once");
      }
      if (payload === "b1") {
        await failed.promise;
      }
      if (calls.length === 8) {
        void consumer.cancel();
      }
      if (payload === "c1") failed.resolve();
    }, { ...ORDERED, concurrency: 2, retry: { backoff: 1000 } });
    assertEquals(ofKey("a", calls), ["a1.1", "a1.2", "a2.1", "a3.1", "a4.1"]);
    assertEquals(calls.slice(0, 4), ["a1.1", "b1.1", "c1.1", "b2.1"]);
    assertEquals(await left(), []);
  },
);

test("takes waiting messages before new ones", [
  "a1",
  "a2",
  "a3",
  "b1",
  "c1",
  "d1",
  "e1",
], async (connection) => {
  const consumer = connection.consumer<string>(QUEUE);
  const calls: string[] = [];
  await consumer.run(async ({ payload }) => {
    calls.push(payload);
    await new Promise((resolve) => setTimeout(resolve));
    if (calls.length === 7) void consumer.cancel();
  }, { ...ORDERED, concurrency: 1 });
  assertEquals(calls, ["a1", "a2", "a3", "b1", "c1", "d1", "e1"]);
});

test("gives back what waits in order when it is paused or closed", [
  "a1",
  "a2",
  "b1",
  "a3",
  "b2",
  "c1",
  "c2",
], async (connection, left) => {
  const consumer = connection.consumer<string>(QUEUE);
  const calls: string[] = [];
  const held = Promise.withResolvers<void>();
  const running = consumer.run(async ({ payload }) => {
    calls.push(payload);
    if (payload === "c1") throw new Error("tried again in a minute");
    await held.promise;
  }, { ...ORDERED, retry: { backoff: 60_000 } });
  await until(() => calls.length === 3, "three handlers");
  await consumer.pause();
  assertEquals(consumer.health().inFlight, 2);
  assertEquals(await left(), ["a2", "a3", "b2", "c1", "c2"]);
  held.resolve();
  await consumer.close();
  await running;
  assertEquals([calls, await left()], [["a1", "b1", "c1"], []]);
});

test("lets a key go on behind what is parked, and keeps what comes round", [
  "a1",
  "a2",
  "b1",
  "b2",
], async (connection, left) => {
  const calls: string[] = [];
  const consumer = connection.consumer<string>(QUEUE);
  await consumer.run(({ payload }) => {
    calls.push(payload);
    if (payload === "a1") throw new Error("parked");
    if (calls.length === 4) void consumer.cancel();
  }, { ...ORDERED, retry: false });
  assertEquals([ofKey("a", calls), await left()], [["a1", "a2"], []]);
  const parked = await connection.queue(`${QUEUE}.failed`).get();
  assertEquals([parked?.payload, parked?.key], ["a1", "a"]);
  await parked?.ack();

  await connection.producer<string>({ queue: QUEUE }).publish("a3", {
    key: "a",
  });
  await connection.producer<string>({ queue: QUEUE }).publish("a4", {
    key: "a",
  });
  const round: string[] = [];
  const again = connection.consumer<string>(QUEUE);
  await again.run(({ payload }) => {
    round.push(payload);
    if (round.length === 1) throw new Error("comes round");
    if (round.length === 3) void again.cancel();
  }, { ...ORDERED, retry: false, onFailure: "requeue" });
  assertEquals(round, ["a3", "a3", "a4"]);
});

test(
  "keeps to its order beside a rateLimit for each group, and a breaker",
  MANY.slice(0, 64),
  async (connection, left) => {
    const consumer = connection.consumer<string>(QUEUE);
    const handled: string[] = [];
    let failures = 0;
    await consumer.run(async ({ payload }) => {
      await new Promise((resolve) => setTimeout(resolve));
      if (failures < 3 && handled.length === 20) {
        failures++;
        throw new Error("the breaker opens");
      }
      handled.push(payload);
      if (handled.length === 64) void consumer.cancel();
    }, {
      ...ORDERED,
      retry: { attempts: 50, backoff: 0 },
      rateLimit: { limit: 1, interval: 5, key: ({ key = "" }) => key },
      breaker: { failures: 3, within: 10_000, rest: 50 },
    });
    for (const key of "abcdefgh") {
      assertEquals(ofKey(key, handled), ofKey(key, MANY.slice(0, 64)));
    }
    assertEquals([failures, await left()], [3, []]);
  },
);

test("handles messages without a key at once", [], async (connection) => {
  const producer = connection.producer<string>({ queue: QUEUE });
  for (const text of ["1", "2", "3"]) await producer.publish(text);
  const consumer = connection.consumer<string>(QUEUE);
  const all = Promise.withResolvers<void>();
  let active = 0;
  await consumer.run(async () => {
    if (++active === 3) all.resolve();
    await all.promise;
    void consumer.cancel();
  }, ORDERED);
  assertEquals(active, 3);
});

test(
  "goes on in order when its connection is lost, with what waits and what is tried again",
  MANY,
  async (connection, left, cut) => {
    const consumer = connection.consumer<string>(QUEUE);
    const [busy, first, handled] = [new Set<string>(), new Set<string>(), []];
    const done: string[] = handled;
    const cutAt = [50, 120, 200];
    const twice: string[] = [];
    await consumer.run(async ({ payload, key = "" }) => {
      if (busy.has(key)) twice.push(payload);
      busy.add(key);
      first.add(payload);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 2));
      busy.delete(key);
      if (Math.random() < 0.2) throw new Error("by chance");
      done.push(payload);
      if (done.length >= (cutAt[0] ?? Infinity)) {
        cutAt.shift();
        cut();
      }
      if (new Set(done).size === MANY.length) void consumer.cancel();
    }, {
      ...ORDERED,
      retry: { attempts: 100, backoff: () => Math.floor(Math.random() * 3) },
    });
    for (const key of "abcdefgh") {
      assertEquals(ofKey(key, [...first]), ofKey(key, MANY));
      assertEquals(ofKey(key, [...new Set(done)]), ofKey(key, MANY));
    }
    assertEquals([twice, cutAt, await left()], [[], [], []]);
  },
);

test(
  "begins with nothing that is lost, though it was fetched behind what is tried again",
  ["a1", "a2"],
  async (connection, left, cut) => {
    // With so few fetched nothing waits at the broker when the connection is cut.
    const consumer = connection.consumer<string>(QUEUE, { prefetch: 3 });
    const producer = connection.producer<string>({ queue: QUEUE });
    const [again, goOn] = [
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
    ];
    const calls: string[] = [];
    const running = consumer.run(async ({ payload }) => {
      calls.push(payload);
      if (calls.length === 1) throw new Error("once");
      if (calls.length === 2) {
        again.resolve();
        await goOn.promise;
      }
      if (payload === "a3") void consumer.cancel();
    }, { ordered: true, retry: { backoff: 1 } });
    await again.promise;
    await producer.publish("a3", { key: "a" });
    const before = connection.state;
    cut();
    await until(
      () => connection.state !== before && consumer.health().ready,
      "another connection",
    );
    goOn.resolve();
    await running;
    assertEquals(calls, ["a1", "a1", "a1", "a2", "a3"]);
    assertEquals(await left(), []);
  },
);
