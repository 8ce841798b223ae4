/** A settlement that fails: the message stays in the books, may be settled again, and goes back in the end. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue, type RunOptions } from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { turn } from "../../../async/turn.ts";
import {
  AccessRefusedError,
  ChannelError,
  PublishError,
  SettlementError,
} from "../../../model/errors.ts";
import type { Delivery, DeliveryTag } from "../../../model/message.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  createStoreTransport,
  type MessageStore,
} from "../../../transports/store/mod.ts";
import { TestClock } from "../../../testing/clock.ts";
import { changed, message, open, QUEUE } from "../../support/stores.ts";

const PASSING = new ChannelError("busy", { code: "channel-closed" });
const FINAL = new AccessRefusedError("forbidden");

/** Lets what was begun go on for as many turns as it needs. */
async function settle(): Promise<void> {
  for (let i = 0; i < 8; i++) await turn();
}

/** Fails so many calls of a verb. */
class Failing {
  left = 0;
  calls = 0;
  readonly error: Error;
  constructor(error: Error) {
    this.error = error;
  }
  run<T>(otherwise: () => Promise<T>): Promise<T> {
    this.calls++;
    return this.left-- > 0 ? Promise.reject(this.error) : otherwise();
  }
}

async function stage(error: Error) {
  const failing = new Failing(error);
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const opened = await open(
    (inner) => ({
      messages: {
        remove: (all) => failing.run(() => inner.messages.remove(all)),
        release: (all) => failing.run(() => inner.messages.release(all)),
        put: (items, options) =>
          options?.instead === undefined
            ? inner.messages.put(items, options)
            : failing.run(() => inner.messages.put(items, options)),
      },
    }),
    clock,
    broker,
  );
  await opened.channel.declareQueue(QUEUE);
  return { ...opened, failing, broker };
}

const VERBS = ["ack", "requeue", "retry"] as const;

for (const error of [PASSING, FINAL]) {
  for (const verb of VERBS) {
    Deno.test(`${verb} that fails with ${error.name} may be tried again, and holds its prefetch until then`, async () => {
      const { channel, connection, failing, broker } = await stage(error);
      for (let i = 0; i < 3; i++) await channel.publish(message("", "q"));
      const deliveries: Delivery[] = [];
      await channel.consume("q", (each) => deliveries.push(each), {
        prefetch: 1,
      });
      await settle();
      const tag = deliveries[0]?.deliveryTag;
      assert(tag !== undefined);
      const act = () =>
        verb === "ack" ? channel.ack(tag) : channel.reject(tag, {
          requeue: true,
          ...(verb === "retry" ? { headers: { "x-attempts": 2 } } : {}),
        });
      failing.left = 1;
      await assertRejects(act, Error, error.message);
      await settle();
      assertEquals(deliveries.length, 1);
      await act();
      await settle();
      assertEquals(deliveries.length, 2);
      const again = await assertRejects(act, SettlementError);
      assertEquals(again.code, "message-settled");
      await connection[Symbol.asyncDispose]();
      assertEquals(broker.queue("q")?.size, verb === "ack" ? 2 : 3);
    });
  }

  Deno.test(`a message that failed with ${error.name} and that nobody settles again goes back after half a minute, and is told as lost`, async () => {
    const { channel, connection, failing, broker, clock } = await stage(error);
    await channel.publish(message("", "q"));
    const lost: DeliveryTag[] = [];
    const deliveries: Delivery[] = [];
    await channel.consume("q", (each) => deliveries.push(each), {
      prefetch: 1,
      onLost: (tags) => lost.push(...tags),
    });
    await settle();
    const tag = deliveries[0]?.deliveryTag;
    assert(tag !== undefined);
    failing.left = 2; // also the first attempt to give it back
    await assertRejects(() => channel.ack(tag), Error, error.message);
    clock.pass(29_000);
    await settle();
    assertEquals([lost, failing.calls], [[], 1]);
    clock.pass(1000);
    await settle();
    assertEquals([lost, failing.calls], [[], 2]);
    clock.pass(30_000);
    await settle();
    assertEquals(lost, [tag]);
    assertEquals(deliveries.length, 2);
    assertEquals(deliveries[1]?.redelivered, true);
    const late = await assertRejects(() => channel.ack(tag), SettlementError);
    assertEquals(late.code, "lease-lost");
    await connection[Symbol.asyncDispose]();
    assertEquals([broker.queue("q")?.size, clock.timers], [1, 0]);
  });

  Deno.test(`a message that failed with ${error.name} goes back on close, though that fails at first, too`, async () => {
    const { channel, connection, failing, broker, clock } = await stage(error);
    await channel.publish(message("", "q"));
    const got = await channel.get("q");
    assert(got !== undefined);
    failing.left = 3;
    await assertRejects(() => channel.ack(got.deliveryTag));
    const closing = connection[Symbol.asyncDispose]();
    for (let i = 0; i < 5; i++) {
      await settle();
      clock.pass(200);
    }
    await closing;
    assertEquals([broker.queue("q")?.size, clock.timers], [1, 0]);
  });
}

Deno.test("close() waits for the settlements that are on their way", async () => {
  const { promise: answer, resolve } = Promise.withResolvers<void>();
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const { channel, connection } = await open(
    (inner) => ({
      messages: {
        remove: async (all) => {
          await answer;
          return await inner.messages.remove(all);
        },
      },
    }),
    clock,
    broker,
  );
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const got = await channel.get("q");
  assert(got !== undefined);
  const acked = channel.ack(got.deliveryTag);
  const closing = connection[Symbol.asyncDispose]();
  await settle();
  resolve();
  await acked;
  await closing;
  assertEquals(broker.queue("q")?.size, 0);
});

Deno.test("an expired message that cannot be dead-lettered is tried again, and keeps nobody from the others", async () => {
  const { channel, connection, failing, broker, clock } = await stage(PASSING);
  const arguments_ = {
    "x-message-ttl": 10,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "q",
  };
  await channel.declareQueue({
    ...QUEUE,
    name: "short",
    arguments: arguments_,
  });
  await channel.publish(message("", "short"));
  const deliveries: Delivery[] = [];
  failing.left = 2;
  await channel.consume("q", (each) => deliveries.push(each), { prefetch: 9 });
  clock.pass(10);
  await settle();
  await channel.publish(message("", "q"));
  await settle();
  assertEquals(deliveries.length, 1);
  clock.pass(1000);
  await settle();
  assertEquals(deliveries.length, 1);
  clock.pass(2000);
  await settle();
  assertEquals(deliveries.length, 2);
  await connection[Symbol.asyncDispose]();
  assertEquals([broker.queue("q")?.size, clock.timers], [2, 0]);
});

/** Runs a handler on a store whose verb fails so many times; returns its calls and what is left in the queue. */
async function running(
  verb: "remove" | "release" | "put",
  error: Error,
  times: number,
  handler: () => void,
  options: RunOptions = {},
): Promise<{ calls: number; left: number | undefined }> {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const failing = new Failing(error);
  const connection = createConnection("failing://", {
    transport: createStoreTransport({
      name: "failing",
      open: (_, opening) => {
        const inner = new MemoryStore(broker, opening);
        const changes: Partial<MessageStore> = {};
        if (verb === "put") {
          changes.put = (items, limits) =>
            limits?.instead === undefined
              ? inner.messages.put(items, limits)
              : failing.run(() => inner.messages.put(items, limits));
        } else {changes[verb] = (all) =>
            failing.run(() => inner.messages[verb](all));}
        return Promise.resolve(changed(inner, { messages: changes }));
      },
    }),
  });
  const queue = new Queue("q");
  await connection.producer({ declare: [queue] })
    .publish("x", { routingKey: "q" });
  failing.left = times;
  let calls = 0;
  const consumer = connection.consumer(queue);
  const done = consumer.run(() => {
    calls++;
    handler();
  }, options);
  const late = AbortSignal.timeout(20_000);
  while (failing.left > 0 || calls === 0 || consumer.health().inFlight > 0) {
    assert(!late.aborted, `${failing.left} failures are left`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await connection.close();
  await done;
  return { calls, left: broker.queue("q")?.size };
}

for (const error of [PASSING, FINAL]) {
  Deno.test(`run() tries an ack again that fails with ${error.name}`, async () => {
    const ended = await running("remove", error, 2, () => {});
    assertEquals(ended, { calls: 1, left: 0 });
  });
}

for (
  const error of [PASSING, new PublishError("no", { code: "publish-refused" })]
) {
  Deno.test(`run() tries again to park a message where that fails with ${error.name}`, async () => {
    const ended = await running("put", error, 2, () => {
      throw new Error("the handler fails");
    }, { retry: false });
    assertEquals(ended, { calls: 1, left: 0 });
  });
}

Deno.test("run() counts an attempt though the retry fails for a moment", async () => {
  const ended = await running("put", PASSING, 2, () => {
    throw new Error("the handler fails");
  }, { retry: { attempts: 3, backoff: 0 } });
  assertEquals(ended, { calls: 3, left: 0 });
});

Deno.test("run() calls no more where a retry fails for good", async () => {
  const ended = await running("put", FINAL, 1, () => {
    throw new Error("the handler fails");
  }, { retry: { attempts: 3, backoff: 0 } });
  assertEquals(ended.left, 0);
  assertEquals(ended.calls, 1);
});

Deno.test("run() keeps a message that it may not park, tells of it, and goes on with the others", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const failing = new Failing(FINAL);
  failing.left = Infinity;
  const told: unknown[] = [];
  const connection = createConnection("failing://", {
    transport: createStoreTransport({
      name: "failing",
      open: (_, opening) => {
        const inner = new MemoryStore(broker, opening);
        return Promise.resolve(changed(inner, {
          messages: {
            put: (items, limits) =>
              limits?.instead === undefined
                ? inner.messages.put(items, limits)
                : failing.run(() => inner.messages.put(items, limits)),
          },
        }));
      },
    }),
  });
  const queue = new Queue<string>("q");
  for (const each of ["bad", "good"]) await connection.send(queue, each);
  const consumer = connection.consumer(queue, {
    onError: (error) => told.push(error.message),
  });
  await consumer.run(({ payload }) => {
    if (payload === "bad") throw new Error("the handler fails");
    void consumer.cancel();
  }, { retry: false });
  assertEquals(told, ["the handler fails", FINAL.message]);
  await connection.close();
  assertEquals([broker.queue("q")?.size, failing.calls], [1, 1]);
});

Deno.test("a message that failed is kept for half a minute from its failure on, however old its connection is", async () => {
  const { channel, connection, failing, broker, clock } = await stage(PASSING);
  clock.pass(1_000_000);
  await channel.publish(message("", "q"));
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  failing.left = 1;
  await assertRejects(() => channel.ack(delivery.deliveryTag));
  clock.pass(10);
  await settle();
  await channel.ack(delivery.deliveryTag);
  await connection[Symbol.asyncDispose]();
  assertEquals(broker.queue("q")?.size, 0);
});

Deno.test("get() says that it failed when what it took is given back", async () => {
  const given = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  let waits = false;
  const { connection, channel } = await open(({ messages }) => ({
    messages: {
      remove: () => Promise.reject(FINAL),
      async reserve(wanted, options) {
        if (waits) await taken.promise;
        return await messages.reserve(wanted, options);
      },
      async release(reservations) {
        await given.promise;
        return await messages.release(reservations);
      },
    },
  }));
  const other = await connection.openChannel();
  await channel.declareQueue(QUEUE);
  for (let i = 0; i < 2; i++) await channel.publish(message("", "q"));
  const failures: unknown[] = [];
  const fails = (got: Promise<unknown>) =>
    got.then(() => {}, (error) => void failures.push(error));
  const refused = fails(channel.get("q", { noAck: true }));
  await settle();
  waits = true;
  const late = fails(other.get("q"));
  await settle();
  const ending = other[Symbol.asyncDispose]();
  taken.resolve();
  await settle();
  assertEquals(failures, []);
  given.resolve();
  await Promise.all([refused, late, ending]);
  assertEquals(failures.length, 2);
  assertEquals((await channel.checkQueue("q")).messageCount, 2);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a settlement that fails and that nobody awaits is no unhandled rejection", async () => {
  const unhandled: unknown[] = [];
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onUnhandled);
  try {
    const { channel, connection, failing } = await stage(PASSING);
    await channel.publish(message("", "q"));
    const delivery = await channel.get("q");
    assert(delivery !== undefined);
    failing.left = 1;
    void channel.ack(delivery.deliveryTag);
    await settle();
    assertEquals(failing.calls, 1);
    await connection[Symbol.asyncDispose]();
    assertEquals(unhandled, []);
  } finally {
    globalThis.removeEventListener("unhandledrejection", onUnhandled);
  }
});
