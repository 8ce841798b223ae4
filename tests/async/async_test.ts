import { assert, assertEquals, assertRejects } from "@std/assert";
import { AbortListeners } from "../../async/abort.ts";
import { backoff } from "../../async/backoff.ts";
import { Deadlines } from "../../async/deadlines.ts";
import { Limits } from "../../async/limits.ts";
import { Line } from "../../async/line.ts";
import { Mailbox } from "../../async/mailbox.ts";
import { Ring } from "../../async/ring.ts";
import { mostSilence, Silence } from "../../async/silence.ts";
import { Waiters } from "../../async/waiters.ts";
import { Window } from "../../transports/store/window.ts";
import { deliveryTag } from "../../model/message.ts";
import { TimeoutError } from "../../model/errors.ts";
import { TestClock } from "../../testing/clock.ts";
import { SLACK } from "../support/slack.ts";

Deno.test("Deadlines call back in order, once, and not what was cancelled", () => {
  const clock = new TestClock();
  const deadlines = new Deadlines(clock);
  const missed: string[] = [];
  const add = (name: string, at: number) =>
    deadlines.add(at, () => missed.push(`${name} at ${clock.now()}`));
  add("slow", 5000);
  add("quick", 100);
  const cancelled = add("cancelled", 50);
  add("middle", 700);
  cancelled.cancel();
  cancelled.cancel();
  assert(clock.timers <= 1);
  clock.pass(10_000);
  assertEquals(missed, ["quick at 100", "middle at 700", "slow at 5000"]);
  assertEquals(clock.timers, 0);
});

Deno.test("Deadlines keep one timer for thousands, and none for nothing for long", () => {
  const clock = new TestClock();
  const deadlines = new Deadlines(clock);
  for (let i = 0; i < 5000; i++) {
    deadlines.add(30_000 + i, () => {}).cancel();
    assert(clock.timers <= 1);
  }
  clock.pass(1000);
  assertEquals(clock.timers, 0);
  deadlines.add(40_000, () => {});
  deadlines.end();
  assertEquals(clock.timers, 0);
});

Deno.test("AbortListeners listen once to a signal, however many wait", () => {
  const listeners = new AbortListeners();
  const controller = new AbortController();
  let added = 0;
  let removed = 0;
  const { signal } = controller;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    added++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (
    ...args: Parameters<typeof removeEventListener>
  ) => {
    removed++;
    removeEventListener.apply(signal, args);
  };
  const heard: number[] = [];
  const stops = Array.from(
    { length: 100 },
    (_, i) => listeners.listen(signal, () => heard.push(i)),
  );
  assertEquals(added, 1);
  for (const stop of stops.slice(2)) stop();
  stops[2]?.();
  assertEquals(removed, 0);
  controller.abort();
  assertEquals(heard, [0, 1]);
  listeners.listen(new AbortController().signal, () => {})();
});

Deno.test("AbortListeners let go of a signal when nobody waits", () => {
  const listeners = new AbortListeners();
  const controller = new AbortController();
  let heard = 0;
  listeners.listen(controller.signal, () => heard++)();
  const stop = listeners.listen(controller.signal, () => heard++);
  stop();
  stop();
  controller.abort();
  assertEquals(heard, 0);
});

Deno.test("Limits that have ended watch no later deadline", async () => {
  const clock = new TestClock();
  const limits = new Limits(clock);
  limits.end(() => late);
  const wait = limits.wait(Promise.resolve(1), { deadline: 10 }, () => late);
  assertEquals(clock.timers, 0);
  limits.watchDeadline(10, () => {}).cancel();
  assertEquals(clock.timers, 0);
  assertEquals(await wait, 1);
});

Deno.test("Limits that end fail who waits for what never settles, and nobody else", async () => {
  const clock = new TestClock();
  const limits = new Limits(clock);
  const ended = new Error("ended");
  const never = new Promise<never>(() => {});
  const { promise, reject } = Promise.withResolvers<never>();
  const telling = new Error("it says more");
  const told = [
    limits.wait(never, { deadline: 1000 }, () => late),
    limits.wait(promise, { deadline: 1000 }, () => late),
  ];
  const gone: unknown[] = [];
  limits.watch({ deadline: 1000 }, (reason) => gone.push(reason))();
  limits.watch({ deadline: 1000 }, (reason) => gone.push(reason));
  limits.watchDeadline(1000, () => gone.push("a deadline"));
  limits.end(() => ended);
  assertEquals(clock.timers, 0);
  reject(telling);
  // One that begins later waits for nothing either.
  told.push(limits.wait(never, { deadline: 1000 }, () => late));
  const failures = await Promise.all(
    told.map((each) => each.catch((error: unknown) => error)),
  );
  assertEquals(failures, [ended, telling, ended]);
  assertEquals(gone, [{ aborted: ended }]);
  assertEquals(clock.timers, 0);
});

const late = new TimeoutError("late");

Deno.test("Limits end a wait by its signal's reason or its deadline, and leave no timer", async () => {
  const clock = new TestClock();
  const limits = new Limits(clock);
  const never = new Promise<never>(() => {});
  const late = () => new TimeoutError("late");
  const timed = limits.wait(never, { deadline: 100 }, late);
  clock.pass(100);
  await assertRejects(() => timed, TimeoutError, "late");
  const controller = new AbortController();
  const aborted = limits.wait(never, {
    signal: controller.signal,
    deadline: 500,
  }, late);
  controller.abort("why");
  assertEquals(await aborted.catch((reason: unknown) => reason), "why");
  assertEquals(
    await limits.wait(Promise.resolve(7), { deadline: 500 }, late),
    7,
  );
  clock.pass(2000);
  assertEquals(clock.timers, 0);
});

const BACKOFF: readonly (readonly [number, number, number])[] = [
  [0, 0, 50],
  [0, 1, 100],
  [1, 0, 100],
  [3, 0.5, 600],
  [30, 1, 1000],
  [1000, 0, 500],
];

/** Nothing comes of these where the policy says all. */
const NONE = { initialDelay: 0, maxDelay: 0 };

for (const [attempt, random, expected] of BACKOFF) {
  Deno.test(`backoff() of attempt ${attempt} by ${random} is ${expected}`, () => {
    const defaults = { initialDelay: 100, maxDelay: 1000 };
    assertEquals(backoff(attempt, {}, defaults, random), expected);
    assertEquals(backoff(attempt, defaults, NONE, random), expected);
  });
}

Deno.test("backoff() grows by its factor, and leaves to chance what its jitter says", () => {
  const policy = { initialDelay: 10, maxDelay: 1000, factor: 3, jitter: 0.2 };
  const at = (random: number) =>
    [0, 1, 2, 9, 5000].map((failures) =>
      backoff(failures, policy, NONE, random)
    );
  assertEquals(at(1), [10, 30, 90, 1000, 1000]);
  assertEquals(at(0), [8, 24, 72, 800, 800]);
  assertEquals(backoff(3, { ...policy, jitter: 1 }, NONE, 0), 0);
  assertEquals(backoff(3, { ...policy, jitter: 0 }, NONE, 0), 270);
});

Deno.test("Mailbox hands over in order, to who waits first, and ends quietly or not", async () => {
  const mailbox = new Mailbox<number>();
  mailbox.put(1);
  assertEquals(await mailbox.next(), 1);
  const [a, b] = [mailbox.next(), mailbox.next()];
  mailbox.put(2);
  mailbox.put(3);
  mailbox.put(4);
  assertEquals([await a, await b, mailbox.size], [2, 3, 1]);
  const failed = new Mailbox<number>();
  const waiting = failed.next();
  failed.fail(new Error("why"));
  failed.end();
  await assertRejects(() => waiting, Error, "why");
  await assertRejects(() => failed.next(), Error, "why");
  mailbox.end();
  mailbox.put(5);
  assertEquals([await mailbox.next(), await mailbox.next()], [4, undefined]);
});

Deno.test("Ring adds and takes at both ends, and grows", () => {
  const ring = new Ring<number>();
  const model: number[] = [];
  let seed = 3;
  for (let i = 0; i < 5000; i++) {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    const choice = Math.floor(seed / 65_536) % 5;
    if (choice < 2) {
      ring.push(i);
      model.push(i);
    } else if (choice === 2) {
      ring.unshift(i);
      model.unshift(i);
    } else assertEquals(ring.shift(), model.shift());
    assertEquals([ring.size, ring.at(0), ring.at(model.length - 1)], [
      model.length,
      model[0],
      model.at(-1),
    ]);
  }
  assertEquals(ring.clear(), model);
});

Deno.test("Line keeps its steps in order, and goes on after a failure", async () => {
  const line = new Line();
  const seen: string[] = [];
  const step = (name: string, turns: number) =>
    line.enter(async () => {
      for (let i = 0; i < turns; i++) await Promise.resolve();
      seen.push(name);
      if (name === "b") throw new Error("b");
      return name;
    });
  const results = [step("a", 9), step("b", 5), step("c", 0)].map((each) =>
    each.then((name) => seen.push(`then ${name}`), () => seen.push("caught"))
  );
  assertEquals(line.busy, true);
  await Promise.all(results);
  assertEquals(seen, ["a", "then a", "b", "caught", "c", "then c"]);
  await Promise.resolve();
  assertEquals(line.busy, false);
});

Deno.test("Window names by consecutive tags, and finds by them", () => {
  const window = new Window<number>();
  const tags = Array.from({ length: 300 }, (_, i) => window.add(i));
  assertEquals(tags.slice(0, 3).map(Number), [1, 2, 3]);
  assertEquals(window.take(deliveryTag(2)), 1);
  assertEquals(window.take(deliveryTag(2)), undefined);
  assertEquals([window.oldest, window.size], [1, 299]);
  assertEquals(window.takeUpTo(deliveryTag(4)), [0, 2, 3]);
  assertEquals(window.oldest, 5);
  assertEquals(window.take(deliveryTag(301)), undefined);
  assertEquals([...window.entries()].length, 296);
  assertEquals(window.clear().length, 296);
  assertEquals([window.size, Number(window.add(7))], [0, 301]);
});

Deno.test("Deadlines take any order, the oldest of all in one step", () => {
  const clock = new TestClock();
  const deadlines = new Deadlines(clock);
  const missed: number[] = [];
  const times = [50, 10, 40, 40, 20, 60, 5, 30, 55, 1];
  for (const at of times) deadlines.add(at, () => missed.push(at));
  clock.pass(100);
  assertEquals(missed, times.sort((a, b) => a - b));
  const count = 200_000;
  for (let i = 0; i < count; i++) deadlines.add(1000 + i, () => {});
  const began = performance.now();
  for (let i = 0; i < count; i++) deadlines.add(500, () => {}).cancel();
  assert(performance.now() - began < 2000 + SLACK);
  deadlines.end();
  assertEquals(clock.timers, 0);
});

Deno.test("Deadlines take the next steps of calls that wait in their order, at any length", () => {
  const clock = new TestClock();
  const deadlines = new Deadlines(clock);
  const count = 50_000;
  let missed = 0;
  const at = (i: number) => 1000 + Math.floor(i / 100);
  for (let i = 0; i < count; i++) deadlines.add(at(i), () => missed++);
  const began = performance.now();
  const steps = Array.from(
    { length: count },
    (_, i) => deadlines.add(at(i), () => missed++),
  );
  assert(performance.now() - began < 2000 + SLACK);
  for (const step of steps.slice(0, count / 2)) step.cancel();
  clock.pass(1249);
  assertEquals(missed, 25_000);
  clock.pass(1000);
  assertEquals(missed, 75_000);
  assertEquals(clock.timers, 0);
});

Deno.test("Line lets go of a step that was left, and goes on with the others", async () => {
  const line = new Line();
  const seen: string[] = [];
  const step = (name: string) =>
    line.stand(() => {
      seen.push(name);
      return Promise.resolve(name);
    });
  const [a, b, c] = [step("a"), step("b"), step("c")];
  b.leave();
  b.leave();
  assertEquals(await c.taken, "c");
  a.leave(); // it was taken
  assertEquals(await a.taken, "a");
  assertEquals(seen, ["a", "c"]);
});

Deno.test("Waiters come in order, and any of them may leave", () => {
  const waiters = new Waiters<number>();
  const places = [0, 1, 2, 3, 4].map((each) => waiters.add(each));
  for (const i of [0, 2, 4]) places[i]?.leave();
  places[2]?.leave();
  assertEquals([waiters.shift(), waiters.shift(), waiters.shift()], [
    1,
    3,
    undefined,
  ]);
  assertEquals(waiters.empty, true);
  places[1]?.leave();
  waiters.add(5);
  assertEquals([waiters.empty, waiters.shift()], [false, 5]);
});

Deno.test("Silence is too long when nothing was answered for its time, however often was asked", () => {
  const clock = new TestClock();
  const silence = new Silence(clock, mostSilence(2000, 30_000));
  assertEquals(silence.most, 5000);
  clock.pass(60_000);
  assertEquals(silence.isTooLong, false); // nobody asked
  assertEquals(silence.ask(), clock.now() + 5000);
  clock.pass(4000);
  silence.end();
  clock.pass(4000);
  assertEquals(silence.isTooLong, false);
  assertEquals(silence.ask(20_000), clock.now() + 25_000); // it may wait for so long
  clock.pass(24_000);
  assertEquals(silence.isTooLong, false);
  silence.ask();
  clock.pass(1000);
  assertEquals(silence.isTooLong, true);
  silence.end();
  assertEquals(silence.isTooLong, false);
});

Deno.test("mostSilence() is two heartbeats and a second, and no longer than a call", () => {
  assertEquals(mostSilence(10_000, 30_000), 21_000);
  assertEquals(mostSilence(20_000, 30_000), 30_000);
  assertEquals(mostSilence(0, 30_000), 30_000);
});

Deno.test("Limits.wait() tells all who wait for one promise, in order, who come late too, and not those who left", async () => {
  const clock = new TestClock();
  const limits = new Limits(clock);
  const { promise, resolve } = Promise.withResolvers<string>();
  const said: string[] = [];
  const wait = (name: string, deadline: number) =>
    limits.wait(promise, { deadline }, () => new Error("late")).then(
      (value) => said.push(`${name}: ${value}`),
      (error) => said.push(`${name}: ${error.message}`),
    );
  const all = [wait("a", 100), wait("b", 10), wait("c", 100)];
  clock.pass(20);
  await all[1];
  resolve("done");
  await Promise.all(all);
  await wait("d", 100);
  assertEquals(said, ["b: late", "a: done", "c: done", "d: done"]);
  const failing = Promise.reject(new Error("no"));
  const rejected = [1, 2].map(() =>
    assertRejects(
      () => limits.wait(failing, { deadline: 100 }, () => new Error("late")),
      Error,
      "no",
    )
  );
  await Promise.all(rejected);
  clock.pass(1000);
  assertEquals(clock.timers, 0);
});
