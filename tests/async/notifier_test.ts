/** Calls that wait for news of names. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Limits } from "../../async/limits.ts";
import { Notifier } from "../../async/notifier.ts";
import { TestClock } from "../../testing/clock.ts";

function setUp() {
  const clock = new TestClock();
  return { clock, notifier: new Notifier(clock, new Limits(clock)) };
}

Deno.test("a sleep ends with news of one of its names, and with no other's", async () => {
  const { notifier, clock } = setUp();
  const one = notifier.enter(["a", "b"]);
  const other = notifier.enter(["c"]);
  let hasOtherWoken = false;
  const sleeping = notifier.sleep(one, 1000, undefined);
  const another = notifier.sleep(other, 1000, undefined)
    .then(() => hasOtherWoken = true);
  notifier.notify("b");
  await sleeping;
  assertEquals([one.isNotified, hasOtherWoken], [true, false]);
  notifier.notifyAll();
  await another;
  assertEquals(
    clock.timers > 0,
    true,
    "a notifier that is armed once looks once more",
  );
});

Deno.test("a notice that comes while a call looks ends its next sleep at once", async () => {
  const { notifier } = setUp();
  const listener = notifier.enter(["a"]);
  notifier.notify("a");
  await notifier.sleep(listener, Infinity, undefined);
});

Deno.test("a sleep ends when its time has passed, and rejects when its signal aborts", async () => {
  const { notifier, clock } = setUp();
  const listener = notifier.enter(["a"]);
  const sleeping = notifier.sleep(listener, 50, undefined);
  clock.pass(51);
  await sleeping;
  assert(!listener.isNotified);
  const controller = new AbortController();
  const aborted = notifier.sleep(listener, 50, controller.signal);
  const reason = new Error("aborted");
  controller.abort(reason);
  const signals = [aborted, notifier.sleep(listener, 50, controller.signal)];
  for (const each of signals) {
    assertEquals(await assertRejects(() => each), reason);
  }
});

Deno.test("empty() waits until the last has left", async () => {
  const { notifier } = setUp();
  const [one, other] = [notifier.enter(["a"]), notifier.enter(["a"])];
  let isEmpty = false;
  const emptying = notifier.empty().then(() => isEmpty = true);
  notifier.leave(one);
  await undefined;
  assertEquals([isEmpty, notifier.isIdle], [false, false]);
  notifier.leave(other);
  await emptying;
  assert(notifier.isIdle);
  await notifier.empty();
});
