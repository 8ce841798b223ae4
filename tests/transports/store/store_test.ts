// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
/** The parts of `transports/store/` that the memory transport does not need: narrow limits, broadcasts. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ConnectionError,
  EncodeError,
  SettlementError,
  UnsupportedError,
} from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  createStoreTransport,
  type Delivery,
  type Reservation,
  type Store,
} from "../../../transports/store/mod.ts";
import { parseUrl } from "../../../url/mod.ts";
import { TestClock } from "../../../testing/clock.ts";
import { registerConformance } from "../../support/register.ts";
import {
  changed,
  fail,
  message,
  narrowTransport,
  open,
  QUEUE,
  turns,
} from "../../support/stores.ts";

await registerConformance("a narrow store", {
  url: "narrow://",
  transport: narrowTransport(),
});

Deno.test("an entry that is no message is delivered as such, and set aside when it is rejected", async () => {
  const aside: Reservation[] = [];
  const { channel, connection } = await open((inner) => ({
    messages: {
      reserve: async (wants, options) => {
        const reserved = await inner.messages.reserve(wants, options);
        return {
          ...reserved,
          reservations: reserved.reservations.map((each) =>
            new Proxy(each, {
              get: (target, key) =>
                key === "message"
                  ? { error: new Error("garbage"), body: Uint8Array.of(7) }
                  : Reflect.get(target, key, target),
            })
          ),
        };
      },
    },
    quarantine: {
      add: (reservations) => {
        aside.push(...reservations);
        return Promise.resolve([]);
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const delivery = await channel.get("q");
  assertEquals(delivery?.malformed?.message, "garbage");
  assertEquals([...delivery?.body ?? []], [7]);
  // It cannot be written again: then nobody may think that it was.
  for (const options of [{ headers: { "x-attempts": 2 } }, { delay: 5 }]) {
    await assertRejects(
      () =>
        channel.reject(delivery?.deliveryTag ?? fail(), {
          requeue: true,
          ...options,
        }),
      EncodeError,
      'what lay in queue "q"',
    );
  }
  await channel.reject(delivery?.deliveryTag ?? fail(), { requeue: false });
  assertEquals(aside.length, 1);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a fanout exchange is broadcast where the store can, and the outcome does not count", async () => {
  const heard: string[] = [];
  const { channel, connection } = await open(() => ({
    broadcasts: {
      send: (exchange, { routingKey }) => {
        heard.push(`${exchange} ${routingKey}`);
        return Promise.resolve();
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.bind({
    source: "amq.fanout",
    destination: { kind: "queue", name: "q" },
    routingKey: "",
    arguments: {},
  });
  const outcome = await channel.publish(message("amq.fanout", "k"));
  assertEquals(outcome, { type: "accepted", queues: undefined });
  // Nobody keeps a mark of what is broadcast.
  const dedupe = { id: "1", window: 1000, token: "mine" };
  await assertRejects(
    () => channel.publish({ ...message("amq.fanout", "k"), dedupe }),
    UnsupportedError,
    "with dedupe: this broker broadcasts",
  );
  assertEquals(heard, ["amq.fanout k"]);
  assertEquals((await channel.checkQueue("q")).messageCount, 0);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a fanout exchange leads to queues, and is announced with what is put, where the store does both", async () => {
  const seen: unknown[] = [];
  const { channel, connection } = await open((inner) => ({
    broadcasts: {
      send: async (exchange, _, options) => {
        const of = { type: "exchange", name: exchange } as const;
        const { version } = await inner.topology.read(of);
        if (version !== options?.version) return { type: "stale" };
        seen.push(["broadcast", exchange]);
        return { type: "sent", receivers: 0 };
      },
      putsInto: ({ declaration }) => declaration.name === "q",
    },
    messages: {
      put: (items, options) => {
        seen.push([items.map(({ queue }) => queue), options?.announced]);
        return inner.messages.put(items, options);
      },
    },
  }));
  const mandatory = { ...message("amq.fanout", "k"), mandatory: true };
  assertEquals((await channel.publish(mandatory)).type, "returned");
  for (const name of ["q", "theirs"]) {
    await channel.declareQueue({ ...QUEUE, name });
    await channel.bind({
      source: "amq.fanout",
      destination: { kind: "queue", name },
      routingKey: "",
      arguments: {},
    });
  }
  const outcome = await channel.publish(mandatory);
  assertEquals(outcome, { type: "accepted", queues: 1 });
  assertEquals(seen, [
    ["broadcast", "amq.fanout"],
    [["q"], ["amq.fanout"]],
  ]);
  assertEquals((await channel.checkQueue("q")).messageCount, 1);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a message that is rejected and dead-lettered nowhere is dropped by the store's own rule", async () => {
  const dropped: string[] = [];
  const { channel, connection } = await open((inner) => ({
    messages: {
      drop(reservations) {
        dropped.push(...reservations.map(({ queue }) => queue));
        return inner.messages.remove(reservations);
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const delivery = await channel.get("q");
  await channel.reject(delivery?.deliveryTag ?? fail(), { requeue: false });
  assertEquals(dropped, ["q"]);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a dead letter is broadcast by a fanout exchange, and is gone from its queue", async () => {
  const heard: string[] = [];
  const { channel, connection } = await open(() => ({
    broadcasts: {
      send: (exchange, { routingKey, properties }) => {
        heard.push(
          `${exchange} ${routingKey} ${
            properties.headers?.["x-first-death-reason"]
          }`,
        );
        return Promise.resolve();
      },
    },
  }));
  await channel.declareQueue({
    ...QUEUE,
    arguments: { "x-dead-letter-exchange": "amq.fanout" },
  });
  await channel.publish(message("", "q"));
  const delivery = await channel.get("q");
  await channel.reject(delivery?.deliveryTag ?? fail(), { requeue: false });
  assertEquals(heard, ["amq.fanout q rejected"]);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a store is asked for more before anybody works on what it gave", async () => {
  const order: string[] = [];
  const { channel, connection } = await open((inner) => ({
    messages: {
      reserve: (wants, options) => {
        order.push("asked");
        return inner.messages.reserve(wants, options);
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const { promise, resolve } = Promise.withResolvers<void>();
  await channel.consume("q", () => {
    Promise.resolve().then(() => order.push("worked")).then(() => resolve());
  }, { prefetch: 2 });
  await promise;
  assertEquals(order, ["asked", "asked", "worked"]);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a store hears of a settlement before it is asked for more, so that it never holds more than the prefetch for us (row 24)", async () => {
  for (const settle of ["ack", "reject"] as const) {
    const order: string[] = [];
    const { channel, connection } = await open((inner) => ({
      messages: {
        reserve: (wants, options) => {
          order.push("reserve");
          return inner.messages.reserve(wants, options);
        },
        remove: (reservations) => {
          order.push("settle");
          return inner.messages.remove(reservations);
        },
        release: (reservations) => {
          order.push("settle");
          return inner.messages.release(reservations);
        },
      },
    }));
    await channel.declareQueue(QUEUE);
    await channel.publish(message("", "q"));
    await channel.publish(message("", "q"));
    const arrived = [0, 1].map(() => Promise.withResolvers<Delivery>());
    let count = 0;
    await channel.consume("q", (each) => arrived[count++]?.resolve(each), {
      prefetch: 1,
    });
    const first = await arrived[0]?.promise;
    assert(first !== undefined);
    if (settle === "ack") await channel.ack(first.deliveryTag);
    else await channel.reject(first.deliveryTag, { requeue: true });
    await arrived[1]?.promise;
    assertEquals(order, ["reserve", "settle", "reserve"]);
    await connection[Symbol.asyncDispose]();
  }
});

Deno.test("a store that is lost ends its connection, channels and consumers as lost", async () => {
  const clock = new TestClock();
  const { promise: closed, resolve: lose } = Promise.withResolvers<
    Awaited<Store["closed"]>
  >();
  const inner = new MemoryStore(new MemoryBroker(clock), { clock });
  const connection = await createStoreTransport({
    name: "lost",
    open: () => Promise.resolve({ ...changed(inner, {}), closed }),
  }).connect(parseUrl("lost://"), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 1000,
    owner: "me",
    clock,
  });
  const channel = await connection.openChannel();
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const deliveries: Delivery[] = [];
  const subscription = await channel.consume(
    "q",
    (each) => deliveries.push(each),
    { prefetch: 1 },
  );
  await turns();
  lose({ type: "lost", error: new Error("cut") });
  assertEquals((await connection.closed).type, "lost");
  assertEquals((await channel.closed).type, "lost");
  assertEquals((await subscription.ended).type, "lost");
  await assertRejects(
    () => channel.ack(deliveries[0]?.deliveryTag ?? fail()),
    SettlementError,
  );
  // A caller that comes a moment later may try again: nobody has closed anything.
  const calls = [
    () => connection.openChannel(),
    () => channel.publish(message("", "q")),
    () => channel.checkQueue("q"),
    () => channel.consume("q", () => {}, { prefetch: 1 }),
  ];
  for (const call of calls) {
    const error = await assertRejects(call, ConnectionError);
    assertEquals(error.code, "connection-lost");
    assertEquals(error.retryable, true);
    assertEquals(error.outcome, "not-sent");
  }
  await connection[Symbol.asyncDispose]();
  await inner[Symbol.asyncDispose]();
});
