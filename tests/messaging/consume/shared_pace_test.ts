/** Messages that wait until the broker has counted them. */

import { assertEquals } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import type { PaceHost } from "../../../messaging/consume/pace.ts";
import {
  SharedPace,
  type SharedPaceCalls,
} from "../../../messaging/consume/shared_pace.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("no message is taken while others wait to be counted in one line, and the next when the last of them begins", async () => {
  const counted = Promise.withResolvers<number>();
  const begun: number[] = [];
  const nothing = () => {};
  const pace = new SharedPace<number>(
    { limit: 1, interval: 1000 },
    {
      hasEnded: () => false,
      onEnd: () => nothing,
      want: nothing,
    } as Partial<PaceHost> as PaceHost,
    { hasOneQueue: true, admit: () => counted.promise },
    {
      place: () => undefined,
      begin: ({ payload }) => begun.push(payload),
      hold: nothing,
      release: nothing,
    } as Partial<SharedPaceCalls<number>> as SharedPaceCalls<number>,
  );
  const message = (payload: number) =>
    ({ payload, deliveryInfo: { queue: "q" }, isOpen: true }) as Partial<
      ReceivedMessage<number>
    > as ReceivedMessage<number>;
  assertEquals(pace.beforeTaking(), undefined);
  for (const each of [1, 2]) assertEquals(pace.mustWait(message(each)), true);
  let mayTake = false;
  const taking = pace.beforeTaking()?.then(() => mayTake = true);
  await turn();
  assertEquals([begun, mayTake], [[], false]);
  counted.resolve(0);
  await taking;
  assertEquals([begun, mayTake], [[1, 2], true]);
  assertEquals(pace.beforeTaking(), undefined);
});

Deno.test("a message that begins in no line is asked for until it is counted", async () => {
  const clock = new TestClock();
  const answers = [700, 300, 0, 0];
  const nothing = () => {};
  let isCounted = false;
  const pace = new SharedPace<number>(
    { limit: 1, interval: 1000 },
    {
      clock,
      hasEnded: () => false,
      onEnd: () => nothing,
    } as Partial<PaceHost> as PaceHost,
    {
      hasOneQueue: true,
      admit: () => Promise.resolve(answers.shift() ?? NaN),
    },
    {} as SharedPaceCalls<number>,
  );
  const message = { deliveryInfo: { queue: "q" }, isOpen: true } as Partial<
    ReceivedMessage<number>
  > as ReceivedMessage<number>;
  const counting = pace.untilCounted(message).then(() => isCounted = true);
  await turn();
  for (const delay of [700, 300]) {
    assertEquals(isCounted, false);
    clock.pass(delay);
    await turn();
  }
  await counting;
  assertEquals(answers, [0]);
});
