import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  Batcher,
  Batchers,
  type BatcherSettings,
} from "../../async/batcher.ts";
import { Limits } from "../../async/limits.ts";
import { turn } from "../../async/turn.ts";
import { TimeoutError } from "../../model/errors.ts";
import { TestClock } from "../../testing/clock.ts";

type Result = string | Promise<string>;

/** A batcher whose batches are answered when the test says so. */
function setUp(settings: Partial<BatcherSettings<string, string>> = {}) {
  const clock = new TestClock();
  const batches: (readonly string[])[] = [];
  const deadlines: (number | undefined)[] = [];
  const answers: PromiseWithResolvers<readonly Result[]>[] = [];
  const all: BatcherSettings<string, string> = {
    limits: new Limits(clock),
    count: 3,
    atOnce: 1,
    actionOf: (item) => `send "${item}"`,
    late: (item) => new TimeoutError(`"${item}" is late`),
    send: (items, { deadline }) => {
      batches.push(items);
      deadlines.push(deadline);
      const answer = Promise.withResolvers<readonly Result[]>();
      answers.push(answer);
      return answer.promise;
    },
    ...settings,
  };
  return {
    clock,
    batcher: new Batcher(all),
    all,
    batches,
    deadlines,
    /** Answers the batch that has waited longest. */
    async answer(results?: readonly Result[]) {
      const items = batches[batches.length - answers.length] ?? [];
      answers.shift()?.resolve(results ?? items.map((item) => `${item}!`));
      await turn();
      await turn();
    },
  };
}

Deno.test("calls of one turn leave in batches, in order, one after the other", async () => {
  const { batcher, batches, answer } = setUp();
  const results = ["a", "b", "c", "d"].map((item) => batcher.add(item));
  assertEquals(batches, []);
  await turn();
  assertEquals(batches, [["a", "b", "c"]]);
  await answer();
  assertEquals(batches, [["a", "b", "c"], ["d"]]);
  await answer();
  assertEquals(await Promise.all(results), ["a!", "b!", "c!", "d!"]);
});

Deno.test("so many batches are under way at once", async () => {
  const { batcher, batches, answer } = setUp({ count: 1, atOnce: 2 });
  const results = ["a", "b", "c"].map((item) => batcher.add(item));
  for (let i = 0; i < 4; i++) await turn();
  assertEquals(batches, [["a"], ["b"]]);
  for (let i = 0; i < 3; i++) await answer();
  assertEquals(batches.length, 3);
  assertEquals(await Promise.all(results), ["a!", "b!", "c!"]);
});

Deno.test("a batch has so many bytes, and an item that is larger leaves alone", async () => {
  const { batcher, batches, answer } = setUp({
    bytes: 4,
    bytesOf: ({ length }) => length,
  });
  const results = ["ab", "cd", "e", "large", "f"].map((item) =>
    batcher.add(item)
  );
  await turn();
  for (let i = 0; i < 4; i++) await answer();
  assertEquals(batches, [["ab", "cd"], ["e"], ["large"], ["f"]]);
  await Promise.all(results);
});

Deno.test("an item that may not join the batch waits for the next, and what follows it too", async () => {
  const { batcher, batches, answer } = setUp({
    joins: () => {
      const seen = new Set<string>();
      return (item) => seen.size < seen.add(item).size;
    },
  });
  const results = ["a", "b", "a", "c"].map((item) => batcher.add(item));
  await turn();
  for (let i = 0; i < 2; i++) await answer();
  assertEquals(batches, [["a", "b"], ["a", "c"]]);
  await Promise.all(results);
});

Deno.test("an item that cannot be measured, or fails in its batch, fails alone", async () => {
  const { batcher, batches, answer } = setUp({
    bytesOf: (item) => {
      if (item === "bad") throw new RangeError("no form");
      return 1;
    },
  });
  const [bad, good, refused] = ["bad", "good", "refused"].map((item) =>
    batcher.add(item)
  );
  assert(bad !== undefined && refused !== undefined);
  const failures = [
    assertRejects(() => bad, RangeError, "no form"),
    assertRejects(() => refused, Error, "no room"),
  ];
  await turn();
  assertEquals(batches, [["good", "refused"]]);
  await answer(["well", Promise.reject(new Error("no room"))]);
  assertEquals(await good, "well");
  await Promise.all(failures);
});

Deno.test("a batch that fails fails for all of it, and the next one leaves", async () => {
  let count = 0;
  const { batcher } = setUp({
    send: (items) =>
      count++ === 0
        ? Promise.reject(new Error("gone"))
        : Promise.resolve(items.map((item) => item)),
  });
  const failed = ["a", "b"].map((item) =>
    assertRejects(() => batcher.add(item), Error, "gone")
  );
  await Promise.all(failed);
  assertEquals(await batcher.add("c"), "c");
});

Deno.test("a call that waits is called off by its signal, and is never sent", async () => {
  const { batcher, batches, answer } = setUp();
  const first = batcher.add("a");
  await turn();
  const abort = new AbortController();
  const called = batcher.add("b", { signal: abort.signal });
  const third = batcher.add("c");
  const failing = assertRejects(() => called, Error, "enough");
  abort.abort(new Error("enough"));
  await failing;
  await answer();
  await answer();
  assertEquals(batches, [["a"], ["c"]]);
  assertEquals([await first, await third], ["a!", "c!"]);
  await assertRejects(
    () => batcher.add("d", { signal: abort.signal }),
    Error,
    "enough",
  );
});

Deno.test("a deadline that is missed says whether the item had left", async () => {
  const { clock, batcher, batches, deadlines, answer } = setUp({ count: 2 });
  const short = batcher.add("short", { deadline: 1000 });
  const long = batcher.add("long", { deadline: 5000 });
  await turn();
  const waiting = batcher.add("waiting", { deadline: 1000 });
  const patient = batcher.add("patient", { deadline: 9000 });
  const failures = [
    assertRejects(() => short, TimeoutError, '"short" is late'),
    assertRejects(() => waiting, TimeoutError, 'Cannot send "waiting" in time'),
  ];
  clock.pass(1000);
  await Promise.all(failures);
  assertEquals(
    await waiting.catch((error) => error.outcome),
    "not-sent",
  );
  await answer();
  await answer();
  assertEquals(batches, [["short", "long"], ["patient"]]);
  // The batch itself has the time of its last one.
  assertEquals(deadlines, [5000, 9000]);
  assertEquals([await long, await patient], ["long!", "patient!"]);
  const late = batcher.add("late", { deadline: 1000 });
  await assertRejects(() => late, TimeoutError, 'Cannot send "late"');
  assert(clock.timers <= 1);
});

Deno.test("a batch without a deadline has none, however short one of its items has", async () => {
  const { clock, batcher, deadlines, answer } = setUp();
  const short = batcher.add("short", { deadline: 1000 });
  const endless = batcher.add("endless");
  await turn();
  assertEquals(deadlines, [undefined]);
  const failing = assertRejects(() => short, TimeoutError, '"short" is late');
  clock.pass(1000);
  await failing;
  await answer();
  assertEquals(await endless, "endless!");
});

Deno.test("flush sends at once what waits, in its batches", async () => {
  const { batcher, batches, answer } = setUp({ atOnce: Infinity });
  const results = ["a", "b", "c", "d"].map((item) => batcher.add(item));
  batcher.flush();
  assertEquals(batches, [["a", "b", "c"], ["d"]]);
  await answer();
  await answer();
  assertEquals(await Promise.all(results), ["a!", "b!", "c!", "d!"]);
});

Deno.test("batchers by name keep apart what is sent, and last no longer than it", async () => {
  const { all, batches, answer } = setUp();
  let made = 0;
  const batchers = new Batchers<string, string, string>((of) => {
    made++;
    return {
      ...all,
      send: (items, options) =>
        all.send(items.map((item) => `${of}/${item}`), options),
    };
  });
  const results = [
    batchers.add("x", "X", "1"),
    batchers.add("y", "Y", "2"),
    batchers.add("x", "X", "3"),
  ];
  await turn();
  assertEquals(batches, [["X/1", "X/3"], ["Y/2"]]);
  await answer();
  await answer();
  assertEquals(await Promise.all(results), ["X/1!", "Y/2!", "X/3!"]);
  assertEquals(made, 2);
  const again = batchers.add("x", "X", "4");
  await turn();
  await answer();
  assertEquals([await again, made], ["X/4!", 3]);
});

Deno.test("what waits fails at its own deadline, though it came after what may wait longer", async () => {
  const { clock, batcher, batches } = setUp();
  const first = batcher.add("a");
  await turn();
  const patient = batcher.add("b", { deadline: clock.now() + 10_000 });
  const hasty = batcher.add("c", { deadline: clock.now() + 100 });
  const failed = assertRejects(() => hasty, TimeoutError, "not been sent");
  await clock.advance(100);
  await failed;
  const later = assertRejects(() => patient, TimeoutError, "not been sent");
  await clock.advance(9900);
  await later;
  assertEquals(batches, [["a"]]);
  void first;
});
