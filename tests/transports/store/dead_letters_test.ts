/** Dead letters on a store that fails, or knows less than it should. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AccessRefusedError,
  ChannelError,
  ConnectionError,
  NotFoundError,
  PublishError,
} from "../../../model/errors.ts";
import { turn } from "../../../async/turn.ts";
import type { Publishing } from "../../../model/message.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { TestClock } from "../../../testing/clock.ts";
import { message, open, type Opened, QUEUE } from "../../support/stores.ts";

const WORK = { ...QUEUE, arguments: { "x-dead-letter-exchange": "dlx" } };
const DEAD = { ...QUEUE, name: "dead" };
const DLX = {
  name: "dlx",
  type: "fanout",
  durable: true,
  autoDelete: false,
  internal: false,
  arguments: {},
} as const;

/** Declares a queue that dead-letters into another, and puts a message into it. */
async function stage(
  { channel }: Opened,
  published: Publishing = message("", "q"),
): Promise<void> {
  await channel.declareExchange(DLX);
  await channel.declareQueue(WORK);
  await channel.declareQueue(DEAD);
  await channel.bind({
    source: "dlx",
    destination: { kind: "queue", name: "dead" },
    routingKey: "",
    arguments: {},
  });
  await channel.publish(published);
}

const FAILURES = [
  new ChannelError("busy", { code: "channel-closed" }),
  new AccessRefusedError("no permission"),
  new ChannelError("refused", { code: "precondition-failed" }),
  // Of the database that the tables are in, and not of the exchange.
  new NotFoundError("no such database"),
  new ConnectionError("cut", { code: "connection-lost" }),
];

for (const failure of FAILURES) {
  for (const verb of ["read", "put"] as const) {
    Deno.test(`a dead letter is kept where ${verb}() fails with ${failure.name} (${failure.code})`, async () => {
      const clock = new TestClock();
      const broker = new MemoryBroker(clock);
      let failing = false;
      const fail = <T>(otherwise: () => Promise<T>) =>
        failing ? Promise.reject(failure) : otherwise();
      const opened = await open(
        (inner) => ({
          topology: {
            read: (of) =>
              verb === "read" && of.type === "exchange"
                ? fail(() => inner.topology.read(of))
                : inner.topology.read(of),
          },
          messages: {
            put: (items, options) =>
              verb === "put"
                ? fail(() => inner.messages.put(items, options))
                : inner.messages.put(items, options),
          },
        }),
        clock,
        broker,
      );
      await stage(opened);
      const { channel, connection } = opened;
      const delivery = await channel.get("q");
      assert(delivery !== undefined);
      failing = true;
      await assertRejects(
        () => channel.reject(delivery.deliveryTag, { requeue: false }),
        Error,
        failure.message,
      );
      failing = false;
      await connection[Symbol.asyncDispose]();
      assertEquals(
        [broker.queue("q")?.size, broker.queue("dead")?.size],
        [1, 0],
      );
    });
  }
}

Deno.test("a dead letter goes away only where its exchange is not there, or leads nowhere", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const opened = await open(() => ({}), clock, broker);
  await stage(opened);
  const { channel, connection } = opened;
  const rejectOne = async () => {
    const delivery = await channel.get("q");
    assert(delivery !== undefined);
    await channel.reject(delivery.deliveryTag, { requeue: false });
  };
  await channel.deleteQueue("dead");
  await rejectOne();
  await channel.publish(message("", "q"));
  await channel.deleteExchange("dlx");
  await rejectOne();
  assertEquals(broker.queue("q")?.size, 0);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a dead letter finds the queue that somebody else has bound since the last one", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const opened = await open(() => ({}), clock, broker);
  const { channel, connection } = opened;
  await channel.declareExchange(DLX);
  await channel.declareQueue(WORK);
  const other = await open(() => ({}), clock, broker, "other");
  for (const bound of [false, true]) {
    if (bound) {
      await other.channel.declareQueue(DEAD);
      await other.channel.bind({
        source: "dlx",
        destination: { kind: "queue", name: "dead" },
        routingKey: "",
        arguments: {},
      });
    }
    await channel.publish(message("", "q"));
    const delivery = await channel.get("q");
    assert(delivery !== undefined);
    await channel.reject(delivery.deliveryTag, { requeue: false });
  }
  assertEquals(broker.queue("dead")?.size, 1);
  await connection[Symbol.asyncDispose]();
  await other.connection[Symbol.asyncDispose]();
});

for (
  const headers of [{ CC: "bob@example.org" }, { BCC: 5 }, { CC: { a: 1 } }]
) {
  Deno.test(`a message that other programs gave the headers ${JSON.stringify(headers)} becomes a dead letter`, async () => {
    const clock = new TestClock();
    const broker = new MemoryBroker(clock);
    const opened = await open(() => ({}), clock, broker);
    const { channel, connection, store } = opened;
    await stage(opened);
    await channel.purgeQueue("q");
    await store.messages.put([{
      queue: "q",
      message: { ...message("", "q"), properties: { headers } },
      ttl: undefined,
    }]);
    const delivery = await channel.get("q");
    assert(delivery !== undefined);
    await channel.reject(delivery.deliveryTag, { requeue: false });
    const letter = await channel.get("dead");
    for (const [name, value] of Object.entries(headers)) {
      assertEquals(letter?.properties.headers?.[name], value);
    }
    await connection[Symbol.asyncDispose]();
  });
}

Deno.test("a dead letter for whose additions there is no room is put without them, once, and not into quarantine", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const opened = await open(
    (inner) => ({
      messages: {
        put(items, options) {
          const isLarge = items.some(({ queue, message }) =>
            queue === "dead" &&
            message.properties.headers?.["x-death"] !== undefined
          );
          if (!isLarge) return inner.messages.put(items, options);
          return Promise.reject(
            new PublishError("too large", { code: "message-too-large" }),
          );
        },
      },
    }),
    clock,
    broker,
  );
  await stage(opened);
  const { channel, connection } = opened;
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  await channel.reject(delivery.deliveryTag, { requeue: false });
  const found = await channel.listQuarantined?.("q", { limit: 10 });
  assertEquals(
    [broker.queue("q")?.size, broker.queue("dead")?.size, found],
    [0, 1, []],
  );
  await connection[Symbol.asyncDispose]();
});

Deno.test("a message is parked when the queue for it has been declared, however long that takes", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const opened = await open(
    (inner) => ({
      topology: {
        apply: async (...args) => {
          for (let i = 0; i < 3; i++) await turn();
          return await inner.topology.apply(...args);
        },
      },
    }),
    clock,
    broker,
  );
  const { channel, connection } = opened;
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  const parked = await channel.park(delivery.deliveryTag, {
    headers: {},
    declared: undefined,
  });
  assertEquals(parked.type, "parked");
  assertEquals(broker.queue("q")?.size, 0);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a connection that closes waits for what it moves: nobody else may look at that queue", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  let waits = false;
  const opened = await open(
    (inner) => ({
      messages: {
        put: async (items, options) => {
          if (waits) {
            entered.resolve();
            await gate.promise;
          }
          return await inner.messages.put(items, options);
        },
      },
    }),
    clock,
    broker,
  );
  const expired = message("", "q");
  const properties = { ...expired.properties, expiration: 0 };
  await stage(opened, { ...expired, properties });
  for (let i = 1; i < 3; i++) {
    await opened.channel.publish({ ...expired, properties });
  }
  waits = true;
  const getting = opened.channel.get("q").catch(() => undefined);
  await entered.promise;
  const closing = opened.connection[Symbol.asyncDispose]();
  await turn();
  gate.resolve();
  await closing;
  await getting;
  const other = await open(() => ({}), clock, broker);
  assertEquals((await other.channel.checkQueue("dead")).messageCount, 3);
  await other.connection[Symbol.asyncDispose]();
});
