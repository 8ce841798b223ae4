import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OptionError, TimeoutError } from "@dashi/mq";
import { TestClock } from "@dashi/mq/testing";

Deno.test("time passes when it is told to, and timers call back in order", () => {
  const clock = new TestClock();
  const heard: unknown[] = [];
  const at = (name: string, delay: number) =>
    clock.timer(() => heard.push([name, clock.now()]), delay);
  at("late", 20);
  at("first", 10);
  at("second", 10);
  const callOff = at("never", 5);
  callOff();
  callOff();
  assertEquals([clock.timers, clock.next], [3, 10]);
  clock.pass(9);
  assertEquals(heard, []);
  clock.pass(100);
  assertEquals(heard, [["first", 10], ["second", 10], ["late", 20]]);
  assertEquals([clock.now(), clock.wall(), clock.timers], [109, 109, 0]);
});

Deno.test("a timer that is set by another is due within the same time", () => {
  const clock = new TestClock();
  const heard: number[] = [];
  const again = () => {
    heard.push(clock.now());
    clock.timer(again, 10);
  };
  clock.timer(again, 10);
  clock.pass(35);
  assertEquals(heard, [10, 20, 30]);
  clock.timer(() => heard.push(clock.now()), -5);
  clock.pass(0);
  assertEquals(heard.at(-1), 35);
});

Deno.test("it begins at a date, and has no timer at the end of time", () => {
  const date = new Date("2026-11-29T12:00:00Z");
  const clock = new TestClock({ date });
  assertEquals([clock.wall(), clock.now()], [+date, 0]);
  clock.timer(() => {}, Infinity);
  assertEquals(clock.next, undefined);
  clock.pass(86_400_000);
  assertEquals(
    new Date(clock.wall()).toISOString(),
    "2026-11-30T12:00:00.000Z",
  );
});

Deno.test("the effects of a timer happen before time goes on", async () => {
  const clock = new TestClock();
  const heard: number[] = [];
  const work = (async () => {
    for (let i = 0; i < 3; i++) {
      await clock.sleep(60_000);
      for (let step = 0; step < 20; step++) await undefined;
      heard.push(clock.now());
    }
  })();
  await clock.advance(120_000);
  assertEquals([heard, clock.sleepers], [[60_000, 120_000], 1]);
  await clock.advanceUntil(work);
  assertEquals([heard.at(-1), clock.sleepers], [180_000, 0]);
});

Deno.test("calls of advance come one after another", async () => {
  const clock = new TestClock();
  await Promise.all([clock.advance(10), clock.advance(20)]);
  assertEquals(clock.now(), 30);
});

Deno.test("as much time passes as is needed, and the result is that of what was awaited", async () => {
  const clock = new TestClock();
  const slow = clock.sleep(3_600_000).then(() => "done");
  assertEquals(await clock.advanceUntil(slow), "done");
  assertEquals(clock.now(), 3_600_000);
  await assertRejects(
    () => clock.advanceUntil(Promise.reject(new RangeError("mine"))),
    RangeError,
    "mine",
  );
});

Deno.test("a time that cannot be is refused", async () => {
  const clock = new TestClock();
  assertThrows(() => clock.pass(-1), RangeError, "0 or more");
  assertThrows(() => clock.advance(NaN), RangeError, "NaN");
  assertThrows(
    () => clock.advance(1, { handler: false } as object),
    OptionError,
    '"handlers"',
  );
  assertThrows(
    () => new TestClock({ date: new Date(NaN) }),
    OptionError,
    "valid Date",
  );
  await assertRejects(() => clock.sleep(-1), RangeError);
  assert(TimeoutError.prototype instanceof Error);
});
