import { assertEquals } from "@std/assert";
import { NotFoundError } from "@dashi/mq";
import { Leftovers } from "../../../transports/store/leftovers.ts";
import type { Reservation } from "../../../transports/store/store.ts";
import { TestClock } from "../../support/clock.ts";

Deno.test("what is held of a deleted queue is not given back again and again when its connection closes", async () => {
  const clock = new TestClock();
  let calls = 0;
  const messages = {
    release() {
      calls++;
      return Promise.reject(new NotFoundError("there is no such queue"));
    },
  };
  const leftovers = new Leftovers(messages, {
    clock,
    operationTimeout: 30_000,
  });
  await leftovers.release([{ queue: "gone" } as Reservation]);
  assertEquals(calls, 1);
  await leftovers.close(30_000);
  assertEquals(calls, 2);
  assertEquals(leftovers.held(), []);
  assertEquals(clock.timers, 0);
});
