/** Consumers in the tables, over the connections of their owner. */

import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { turn } from "../../../async/turn.ts";
import { AccessRefusedError, ClosedError } from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { TestClock } from "../../../testing/clock.ts";
import { message, open, QUEUE, turns } from "../../support/stores.ts";

Deno.test("a consumer takes the place of those that its owner's lost connection has left, and of no other", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const lost = await open(() => ({}), clock, broker, "me");
  await lost.channel.declareQueue(QUEUE);
  const exclusive = { prefetch: 1, exclusive: true };
  await lost.channel.consume("q", () => {}, exclusive);
  const consumers = () => broker.topology.queue("q")?.consumers.length;

  const other = await open(() => ({}), clock, broker, "other");
  const refused = await assertRejects(() =>
    other.channel.consume("q", () => {}, exclusive)
  );
  assertInstanceOf(refused, AccessRefusedError);

  const again = await open(() => ({}), clock, broker, "me");
  await again.channel.consume("q", () => {}, exclusive);
  assertEquals(consumers(), 1);
  await assertRejects(() => again.channel.consume("q", () => {}, exclusive));
  await again.channel[Symbol.asyncDispose]();
  assertEquals(consumers(), 0);

  // By the same tag, and beside others of this connection.
  const tagged = { prefetch: 1, consumerTag: "t" };
  await lost.channel.consume("q", () => {}, tagged);
  const channel = await again.connection.openChannel();
  await channel.consume("q", () => {}, { prefetch: 1 });
  await channel.consume("q", () => {}, tagged);
  assertEquals(consumers(), 2);
  for (const { connection } of [again, other, lost]) {
    await connection[Symbol.asyncDispose]();
  }
});

for (const how of ["the take fails", "its queue fails"] as const) {
  Deno.test(`a consumer that ends because ${how} counts no more, and one may come by its tag`, async () => {
    const clock = new TestClock();
    const broker = new MemoryBroker(clock);
    const error = new AccessRefusedError("no right to take");
    let isRefused = true;
    const { channel, connection } = await open(
      (inner) => ({
        messages: {
          reserve: async (wants, options) => {
            if (!isRefused) return await inner.messages.reserve(wants, options);
            if (how === "the take fails") throw error;
            return {
              reservations: [],
              missing: [],
              failed: new Map([["q", error]]),
            };
          },
        },
      }),
      clock,
      broker,
    );
    await channel.declareQueue(QUEUE);
    const consume = () =>
      channel.consume("q", () => {}, {
        prefetch: 1,
        exclusive: true,
        consumerTag: "t",
      });
    const { ended } = await consume();
    const reason = await ended;
    assertEquals("error" in reason && reason.error, error);
    for (let i = 0; i < 10; i++) await turn();
    assertEquals(broker.topology.queue("q")?.consumers, []);
    isRefused = false;
    await consume();
    assertEquals((await channel.checkQueue("q")).consumerCount, 1);
    await connection[Symbol.asyncDispose]();
  });
}

Deno.test("a reservation without a message ends the consumer with what is wrong, and not the process", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const { channel, connection } = await open(
    (inner) => ({
      messages: {
        reserve: async (wants, options) => {
          const reserved = await inner.messages.reserve(wants, options);
          const reservations = reserved.reservations.map(({ queue, handle }) =>
            // As rows of a client are, whose type is `any`.
            JSON.parse(JSON.stringify({ queue, handle }))
          );
          return { ...reserved, reservations };
        },
      },
    }),
    clock,
    broker,
  );
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const { ended } = await channel.consume("q", () => {}, { prefetch: 1 });
  const reason = await ended;
  assertEquals(reason.type, "lost");
  const error = "error" in reason ? reason.error : undefined;
  assertInstanceOf(error, TypeError);
  assertStringIncludes(
    error.message,
    "Cannot use what reserve() of the store returned: ",
  );
  await connection[Symbol.asyncDispose]();
});

Deno.test("an auto-delete queue outlives its last consumer that was lost: it may come back", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  let isRefused = true;
  const { channel, connection } = await open(
    (inner) => ({
      messages: {
        reserve: async (wants, options) => {
          if (isRefused) throw new AccessRefusedError("not now");
          return await inner.messages.reserve(wants, options);
        },
      },
    }),
    clock,
    broker,
  );
  await channel.declareQueue({ ...QUEUE, autoDelete: true });
  await channel.publish(message("", "q"));
  await (await channel.consume("q", () => {}, { prefetch: 1 })).ended;
  for (let i = 0; i < 10; i++) await turn();
  isRefused = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  await channel.consume("q", () => resolve(), { prefetch: 1 });
  await promise;
  assertEquals((await channel.checkQueue("q")).consumerCount, 1);
  await connection[Symbol.asyncDispose]();
});

Deno.test("consume() on a channel that is closed meanwhile is refused once its consumer is gone", async () => {
  const broker = new MemoryBroker(new TestClock());
  const gates: Promise<void>[] = [];
  const { channel, connection } = await open(
    ({ topology }) => ({
      topology: {
        apply: async (...args) => {
          await gates.shift();
          return await topology.apply(...args);
        },
      },
    }),
    new TestClock(),
    broker,
  );
  await channel.declareQueue(QUEUE);
  const [adding, removing] = [
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
  ];
  gates.push(adding.promise, removing.promise);
  let isRefused = false;
  const consuming = assertRejects(
    () => channel.consume("q", () => {}, { prefetch: 1 }),
    ClosedError,
    "the channel is closed",
  ).then(() => isRefused = true);
  await turns();
  const closing = channel[Symbol.asyncDispose]();
  adding.resolve();
  await turns();
  const count = () => broker.topology.queue("q")?.consumers.length;
  assertEquals([count(), isRefused], [1, false]);
  removing.resolve();
  await consuming;
  assertEquals(count(), 0);
  await closing;
  await connection[Symbol.asyncDispose]();
});

Deno.test("a message without an ack whose removal fails goes back, and its consumer takes no more than its prefetch again", async () => {
  const wanted: number[] = [];
  let isStuck = true;
  const { channel, connection } = await open(({ messages }) => ({
    messages: {
      reserve(wants, options) {
        wanted.push(...wants.map(({ limit }) => limit));
        return messages.reserve(wants, options);
      },
      remove(all, options) {
        if (!isStuck) return messages.remove(all, options);
        isStuck = false;
        return Promise.reject(new AccessRefusedError("forbidden"));
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const { promise, resolve } = Promise.withResolvers<void>();
  await channel.consume("q", () => resolve(), { prefetch: 3, noAck: true });
  await promise;
  await turns();
  assertEquals(Math.max(...wanted), 3);
  await connection[Symbol.asyncDispose]();
});
