/** Leases and owners of a store, which the memory transport does not need. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SettlementError } from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import type { Delivery, DeliveryTag } from "../../../transports/store/mod.ts";
import { TestClock } from "../../../testing/clock.ts";
import { fail, message, open, QUEUE, turns } from "../../support/stores.ts";

Deno.test("an unsettled message is renewed every third of its lease, and no more once it is settled", async () => {
  const renewed: number[] = [];
  const { clock, channel, connection } = await open((inner) => ({
    limits: { ...inner.limits, lease: 3000 },
    messages: {
      renew: (reservations) => {
        renewed.push(reservations.length);
        return Promise.resolve([]);
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  await channel.publish(message("", "q"));
  const got = await channel.get("q");
  const deliveries: Delivery[] = [];
  await channel.consume("q", (each) => deliveries.push(each), { prefetch: 1 });
  await turns();
  for (let i = 0; i < 3; i++) {
    clock.pass(1000);
    await turns();
  }
  assertEquals(renewed, [2, 2, 2]);
  for (const each of [got, ...deliveries]) {
    assert(each !== undefined);
    await channel.ack(each.deliveryTag);
  }
  clock.pass(1000);
  await turns();
  assertEquals(renewed, [2, 2, 2]);
  await connection[Symbol.asyncDispose]();
  assertEquals(clock.timers, 0);
});

Deno.test("a failed renewal is repeated", async () => {
  let calls = 0;
  const { clock, channel, connection } = await open((inner) => ({
    limits: { ...inner.limits, lease: 3000 },
    messages: {
      renew: () => {
        calls++;
        return Promise.reject(new Error("the broker is busy"));
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  await channel.get("q");
  for (let i = 0; i < 3; i++) {
    clock.pass(1000);
    await turns();
  }
  assertEquals(calls, 3);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a lost lease is told, makes room, and cannot be settled", async () => {
  const { clock, channel, connection } = await open((inner) => ({
    limits: { ...inner.limits, lease: 3000 },
    messages: {
      renew: async (reservations) => {
        // Somebody else has them now.
        await inner.messages.remove(reservations);
        return reservations;
      },
    },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  await channel.publish(message("", "q"));
  const lost: DeliveryTag[] = [];
  const deliveries: Delivery[] = [];
  await channel.consume("q", (each) => deliveries.push(each), {
    prefetch: 1,
    onLost: (tags) => lost.push(...tags),
  });
  await turns();
  assertEquals(deliveries.length, 1);
  clock.pass(1000);
  await turns();
  assertEquals(lost, [deliveries[0]?.deliveryTag]);
  assertEquals(deliveries.length, 2);
  const error = await assertRejects(
    () => channel.ack(lost[0] ?? deliveries[0]?.deliveryTag ?? fail()),
    SettlementError,
  );
  assertEquals(error.code, "lease-lost");
  await connection[Symbol.asyncDispose]();
});

Deno.test("an owner beats every ten seconds, and deletes what the dead ones owned", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const dead = await open(() => ({}), clock, broker, "dead");
  await dead.channel.declareQueue({
    ...QUEUE,
    name: "theirs",
    exclusive: true,
  });
  const beats: string[] = [];
  let died: readonly string[] = [];
  const { channel, connection } = await open(
    () => ({
      presence: {
        heartbeat: (owner, ttl) => {
          beats.push(`${owner} ${ttl}`);
          return Promise.resolve(died);
        },
      },
    }),
    clock,
    broker,
  );
  clock.pass(10_000);
  await turns();
  assertEquals(beats, ["me 30000"]);
  died = ["dead"];
  clock.pass(10_000);
  await turns();
  assertEquals(beats.length, 2);
  await assertRejects(() => channel.checkQueue("theirs"), Error, "theirs");
  await connection[Symbol.asyncDispose]();
  await dead.connection[Symbol.asyncDispose]();
});
