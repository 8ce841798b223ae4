/** The decisions of a consumer about its queues. */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Mailbox } from "../../../async/mailbox.ts";
import {
  heldForNow,
  isFinal,
  QueueUse,
  takeBack,
} from "../../../messaging/consume/consumed_queues.ts";
import type { Session } from "../../../messaging/connection/session.ts";
import type {
  Lane,
  ReceivedDelivery,
} from "../../../messaging/consume/lane.ts";
import {
  AccessRefusedError,
  ChannelError,
  ResourceLockedError,
} from "../../../model/errors.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("deliveries of a lost channel are taken back, and those of others stay, in their order", () => {
  const [lost, other] = [{} as Lane, {} as Lane];
  const received = (lane: Lane) => ({ source: { lane } }) as ReceivedDelivery;
  const all = [lost, other, lost, other].map(received);
  const mailbox = new Mailbox<ReceivedDelivery>();
  for (const each of all) mailbox.put(each);
  assertEquals(takeBack(mailbox, lost).length, 2);
  assertStrictEquals(mailbox.take(), all[1]);
  assertStrictEquals(mailbox.take(), all[3]);
  assertEquals(mailbox.take(), undefined);
});

Deno.test("a queue that a connection of before may still hold is tried again, and nothing else", () => {
  const locked = new ResourceLockedError("held");
  const refused = new AccessRefusedError("held");
  for (
    const held of [heldForNow(locked, false), heldForNow(refused, true)]
  ) {
    assert(held instanceof ChannelError);
    assertEquals([held.code, held.message], ["channel-closed", "held"]);
    assert(held.cause === locked || held.cause === refused);
  }
  assertStrictEquals(heldForNow(refused, false), refused);
});

Deno.test("a consumer that the broker cancelled is consumed again, one that it refused is not", () => {
  const cancelled = new ChannelError("its queue has moved", {
    code: "consumer-cancelled",
  });
  assertEquals(isFinal(cancelled), false);
  assertEquals(isFinal(new AccessRefusedError("no")), true);
});

Deno.test("a consumer uses its queues, and keeps the process, from its begin to its end, however often those are told", () => {
  const clock = new TestClock();
  const told: string[] = [];
  const use = new QueueUse(
    {
      clock,
      declarations: {
        use: (queue) => told.push(`use ${queue}`),
        release: (queue) => told.push(`release ${queue}`),
      } as Partial<Session["declarations"]> as Session["declarations"],
      loopWatch: {
        begin: () => told.push("watch"),
        end: () => told.push("watch no more"),
      } as Partial<Session["loopWatch"]> as Session["loopWatch"],
    },
    ["q"],
  );
  for (let i = 0; i < 2; i++) use.begin();
  assertEquals([told, clock.timers], [["watch", "use q"], 1]);
  for (let i = 0; i < 2; i++) use.end();
  assertEquals(told.slice(2), ["watch no more", "release q"]);
  assertEquals(clock.timers, 0);
});
