import { assertEquals } from "@std/assert";
import { Slot } from "../../../messaging/consume/slot.ts";
import { TestClock } from "../../../testing/clock.ts";

/** A slot after so many milliseconds, and how often it was freed. */
function slotAfter(ms: number) {
  const clock = new TestClock();
  const seen = { freed: 0 };
  const slot = new Slot(clock, () => seen.freed++);
  clock.pass(ms);
  return { clock, seen, slot };
}

Deno.test("the place of a message that failed is kept while that is settled within a second", () => {
  const { clock, seen, slot } = slotAfter(999);
  assertEquals([slot.isGone, slot.keep()], [false, true]);
  clock.pass(60_000);
  assertEquals([slot.isGone, seen.freed, clock.timers], [false, 0, 0]);
});

Deno.test("the place of a message that is settled slowly goes to another, once", () => {
  const { clock, seen, slot } = slotAfter(1000);
  assertEquals([slot.isGone, slot.keep()], [true, false]);
  clock.pass(60_000);
  assertEquals([seen.freed, clock.timers], [1, 0]);
});
