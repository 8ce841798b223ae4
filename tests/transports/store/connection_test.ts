/** The beginning and the end of a connection to a store, and what it does by itself between them. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection } from "@dashi/mq";
import { turn } from "../../../async/turn.ts";
import {
  AccessRefusedError,
  ChannelError,
  ConnectionError,
  NotFoundError,
  ResourceLockedError,
} from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  type CloseReason,
  createStoreTransport,
  type Store,
} from "../../../transports/store/mod.ts";
import { parseUrl } from "../../../url/mod.ts";
import { TestClock } from "../../../testing/clock.ts";
import { changed, message, open, QUEUE } from "../../support/stores.ts";

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

Deno.test("a connection that is lost asks its store for nothing any more, and sets no timer", async () => {
  const clock = new TestClock();
  const closed = Promise.withResolvers<CloseReason>();
  const calls: string[] = [];
  const transport = createStoreTransport({
    name: "lost",
    open: () => {
      const inner = new MemoryStore(new MemoryBroker(clock), { clock });
      const store: Store = {
        ...changed(inner, {
          limits: { ...inner.limits, lease: 3000 },
          messages: {
            renew: () => {
              calls.push("renew");
              return Promise.resolve([]);
            },
            promoteDue: () => {
              calls.push("promoteDue");
              return Promise.resolve(1000);
            },
          },
          presence: {
            heartbeat: () => {
              calls.push("heartbeat");
              return Promise.resolve([]);
            },
          },
        }),
        closed: closed.promise,
        [Symbol.asyncDispose]: () => {
          calls.push("dispose");
          return Promise.resolve();
        },
      };
      return Promise.resolve(store);
    },
  });
  const connection = await transport.connect(parseUrl("lost://"), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 1000,
    owner: "me",
    clock,
  });
  const channel = await connection.openChannel();
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  await channel.publish({ ...message("", "q"), delay: 1500 });
  assert(await channel.get("q") !== undefined);
  for (let i = 0; i < 10; i++) {
    clock.pass(1000);
    await settle();
  }
  assertEquals(new Set(calls), new Set(["promoteDue", "renew", "heartbeat"]));
  calls.length = 0;
  const error = new ConnectionError("It is gone", { code: "connection-lost" });
  closed.resolve({ type: "lost", error });
  assertEquals(await connection.closed, { type: "lost", error });
  clock.pass(60_000);
  await settle();
  await connection[Symbol.asyncDispose]();
  assertEquals(calls, []);
  assertEquals(clock.timers, 0);
  const refused = await assertRejects(
    () => connection.openChannel(),
    ConnectionError,
  );
  assertEquals(refused.code, "connection-lost");
});

Deno.test("a subscription says when its store has answered last", async () => {
  const { clock, channel, connection } = await open((inner) => ({
    limits: { ...inner.limits, reserveWait: 100 },
  }));
  await channel.declareQueue(QUEUE);
  const subscription = await channel.consume("q", () => {}, { prefetch: 1 });
  for (let i = 0; i < 3; i++) {
    await settle();
    clock.pass(100);
  }
  await settle();
  assertEquals(subscription.lastHeard, clock.now());
  await subscription[Symbol.asyncDispose]();
  await connection[Symbol.asyncDispose]();
});

for (
  const error of [
    new ChannelError("Cannot beat now", { code: "channel-closed" }),
    new AccessRefusedError("Cannot beat: it is forbidden"),
  ]
) {
  Deno.test(`a beat that fails once is repeated, and what is held is kept: ${error.message}`, async () => {
    let calls = 0;
    const { clock, channel, connection } = await open(() => ({
      presence: {
        heartbeat: () =>
          ++calls === 1 ? Promise.reject(error) : Promise.resolve([]),
      },
    }));
    await channel.declareQueue(QUEUE);
    await channel.publish(message("", "q"));
    const held = await channel.get("q");
    for (let i = 0; i < 3; i++) {
      clock.pass(10_000);
      await settle();
    }
    assertEquals(calls, 3);
    assert(held !== undefined);
    await channel.ack(held.deliveryTag);
    await connection[Symbol.asyncDispose]();
    assertEquals(clock.timers, 0);
  });
}

Deno.test("an owner that was taken for dead has lost its messages, and those of others go when they are dead", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const other = await open(() => ({}), clock, broker, "other");
  const theirs = { ...QUEUE, name: "theirs", exclusive: true };
  await other.channel.declareQueue(theirs);
  const dead: string[] = [];
  const { channel, connection } = await open(
    () => ({
      presence: { heartbeat: () => Promise.resolve(dead.splice(0)) },
    }),
    clock,
    broker,
  );
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  let lost = 0;
  await channel.get("q", { onLost: () => lost++ });
  await assertRejects(
    () => channel.checkQueue("theirs"),
    ResourceLockedError,
  );
  dead.push("other");
  clock.pass(10_000);
  await settle();
  assertEquals(lost, 0);
  await assertRejects(() => channel.checkQueue("theirs"), NotFoundError);
  dead.push("me");
  clock.pass(10_000);
  await settle();
  assertEquals(lost, 1);
  await connection[Symbol.asyncDispose]();
  await other.connection[Symbol.asyncDispose]();
});

Deno.test("a store that names a capability without its part is refused when it is connected to, and closed", async () => {
  const clock = new TestClock();
  for (
    const [capability, part] of [
      ["known-queues", "topology"],
      ["shared-topology", "topology"],
      ["quarantine", "quarantine"],
      ["shared-rate", "rates"],
      ["inspect", "inspection"],
      ["transaction", "transactions"],
      ["cancel-delayed", "messages.changeDelayed"],
    ] as const
  ) {
    let isClosed = false;
    const transport = createStoreTransport({
      name: "mine",
      open: () => {
        const inner = new MemoryStore(new MemoryBroker(clock), { clock });
        const { limits, closed, messages } = changed(inner, {});
        return Promise.resolve({
          limits,
          closed,
          messages,
          capabilities: new Set([capability]),
          [Symbol.asyncDispose]: () => {
            isClosed = true;
            return Promise.resolve();
          },
        });
      },
    });
    await using connection = createConnection("mine://", { transport });
    const error = await assertRejects(() => connection.connect(), TypeError);
    assert(error.message.includes(`"${capability}"`), error.message);
    assert(error.message.includes(`no "${part}"; add that`), error.message);
    assert(isClosed);
  }
});
