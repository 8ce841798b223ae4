/** Messages that wait for their group. */

import { assertEquals } from "@std/assert";
import { RateLimit } from "../../../messaging/consume/rate_limit.ts";
import { WaitingRoom } from "../../../messaging/consume/waiting_room.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("another message is wanted for each that waits, and one less when it begins", async () => {
  const clock = new TestClock();
  const limit = new RateLimit<number>(
    { limit: 1, interval: 1000, key: () => "a" },
    clock,
  );
  const wanted: number[] = [];
  const begun = Promise.withResolvers<void>();
  const passed = Promise.withResolvers<void>();
  const room = new WaitingRoom<number>(limit, {
    hasEnded: () => false,
    rest: () => passed.promise,
    place: () => undefined,
    gone: () => {},
    begin: () => begun.resolve(),
    want: (count) => void wanted.push(count),
  });
  limit.note("a");
  assertEquals(room.mustWait("a"), true);
  room.add("a", { isOpen: true } as ReceivedMessage<number>);
  assertEquals(wanted, [1]);
  clock.pass(1000);
  passed.resolve();
  await begun.promise;
  assertEquals(wanted, [1, -1]);
});
