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
  let counted = Promise.withResolvers<number>();
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
  // And the same again.
  counted = Promise.withResolvers<number>();
  pace.mustWait(message(3));
  mayTake = false;
  const again = pace.beforeTaking()?.then(() => mayTake = true);
  await turn();
  assertEquals(mayTake, false);
  counted.resolve(0);
  await again;
  assertEquals(begun, [1, 2, 3]);
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

for (const ends of [false, true]) {
  Deno.test(
    `a count that fails is ${
      ends ? "nobody's matter when the run ends" : "told, and asked for again"
    }`,
    async () => {
      const clock = new TestClock();
      const told: unknown[] = [];
      const asked: number[] = [];
      const refusal = new Error("not now");
      const onEnd = new Set<() => void>();
      let isCounted = false;
      const pace = new SharedPace<number>(
        { limit: 1, interval: 1000 },
        {
          clock,
          hasEnded: () => false,
          onEnd(callback) {
            onEnd.add(callback);
            return () => onEnd.delete(callback);
          },
        } as Partial<PaceHost> as PaceHost,
        {
          hasOneQueue: true,
          admit() {
            if (asked.push(clock.now()) > 1) return Promise.resolve(0);
            if (ends) { for (const each of onEnd) each(); }
            return Promise.reject(refusal);
          },
        },
        { tell: (_, error) => told.push(error) } as Partial<
          SharedPaceCalls<number>
        > as SharedPaceCalls<number>,
      );
      const message = { deliveryInfo: { queue: "q" }, isOpen: true } as Partial<
        ReceivedMessage<number>
      > as ReceivedMessage<number>;
      const counting = pace.untilCounted(message).then(() => isCounted = true);
      await turn();
      assertEquals([told, isCounted], [ends ? [] : [refusal], false]);
      clock.pass(1000);
      await counting;
      assertEquals(asked, [0, 1000]);
      assertEquals(onEnd.size, 0);
    },
  );
}
