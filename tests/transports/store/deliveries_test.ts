/** The deliveries of a channel that are not settled. */

import { assertEquals, assertRejects } from "@std/assert";
import { AccessRefusedError, ConnectionError } from "../../../model/errors.ts";
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
