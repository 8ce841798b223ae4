/** How often a runner begins with messages. */

import { assertEquals } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import { Pace } from "../../../messaging/consume/pace.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("a message that is called again waits for its time, and counts", async () => {
  const clock = new TestClock();
  const host = {
    clock,
    hasEnded: () => false,
    onEnd: () => () => {},
    want: () => {},
  };
  const pace = new Pace<number>({ limit: 1, interval: 1000 }, host, {
    place: () => undefined,
    gone: () => {},
    begin: () => {},
    failed: () => {},
  });
  const message = {} as ReceivedMessage<number>;
  let counted = 0;
  await pace.untilCounted(message).then(() => counted++);
  const second = pace.untilCounted(message).then(() => counted++);
  await turn();
  assertEquals([counted, clock.timers], [1, 1]);
  clock.pass(999);
  await turn();
  assertEquals(counted, 1);
  clock.pass(1);
  await second;
  assertEquals([counted, clock.timers], [2, 0]);
});
