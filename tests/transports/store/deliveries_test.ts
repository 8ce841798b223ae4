/** The deliveries of a channel that are not settled. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AccessRefusedError,
  ConnectionError,
  SettlementError,
} from "../../../model/errors.ts";
import type { Delivery } from "../../../model/message.ts";
import { TestClock } from "../../../testing/clock.ts";
import type { CloseReason } from "../../../transports/store/mod.ts";
import { message, open, QUEUE, turns } from "../../support/stores.ts";

Deno.test("a channel that is lost while one goes back that nobody settled again sees to no other of them", async () => {
  const hang = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<CloseReason>();
  const clock = new TestClock();
  const { channel, connection } = await open((inner) => ({
    closed: closed.promise,
    messages: {
      remove: () => Promise.reject(new AccessRefusedError("forbidden")),
      release: async (all) => {
        await hang.promise;
        return await inner.messages.release(all);
      },
    },
  }), clock);
  await channel.declareQueue(QUEUE);
  for (let i = 0; i < 2; i++) await channel.publish(message("", "q"));
  const deliveries: Delivery[] = [];
  await channel.consume("q", (each) => deliveries.push(each), { prefetch: 2 });
  await turns();
  for (const { deliveryTag } of deliveries) {
    await assertRejects(() => channel.ack(deliveryTag), Error, "forbidden");
  }
  await turns();
  clock.pass(30_000);
  await turns();
  closed.resolve({
    type: "lost",
    error: new ConnectionError("cut", { code: "connection-lost" }),
  });
  await turns();
  hang.resolve();
  await turns();
  await connection[Symbol.asyncDispose]();
  assertEquals([deliveries.length, clock.timers], [2, 0]);
});

Deno.test("who settles a message whose lease was lost is told so once, and that it is settled after that", async () => {
  const { channel, clock, connection } = await open((inner) => ({
    limits: { ...inner.limits, lease: 3000 },
    messages: { renew: (all) => Promise.resolve([...all]) },
  }));
  await channel.declareQueue(QUEUE);
  await channel.publish(message("", "q"));
  const tag = (await channel.get("q"))?.deliveryTag;
  assert(tag !== undefined);
  clock.pass(3000);
  await turns();
  for (const code of ["lease-lost", "message-settled"]) {
    const error = await assertRejects(() => channel.ack(tag), SettlementError);
    assertEquals(error.code, code);
  }
  await connection[Symbol.asyncDispose]();
});
