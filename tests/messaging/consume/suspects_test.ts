import { assertEquals } from "@std/assert";
import { Suspects } from "../../../messaging/consume/suspects.ts";
import { TestClock } from "../../../testing/clock.ts";

/** Suspects over a host that notes what it is asked for. */
function scene(
  options: {
    readonly marks?: boolean;
    /** Is called before the answer to a mark. */
    readonly onMark?: () => void;
  } = {},
) {
  const clock = new TestClock();
  const asked: string[] = [];
  const suspects = new Suspects<number>({
    clock,
    mark(message) {
      asked.push(`mark ${message}`);
      options.onMark?.();
      return Promise.resolve(options.marks ?? true);
    },
    callAlone(message) {
      asked.push(`call ${message}`);
      return Promise.resolve();
    },
    letGo(message) {
      asked.push(`let go ${message}`);
      return Promise.resolve();
    },
  });
  /** Promises of promises settle. */
  const settle = async () => {
    for (let i = 0; i < 50; i++) await Promise.resolve();
  };
  const pass = async (ms: number) => {
    clock.pass(ms);
    await settle();
    return asked.splice(0);
  };
  return { suspects, asked, pass, clock };
}

Deno.test("of suspects one at a time is marked, and the next when that one's handler has ended", async () => {
  const { suspects, pass, clock } = scene();
  for (const message of [1, 2, 3]) await suspects.add(message, {});
  assertEquals(await pass(0), ["mark 1"]);
  suspects.came();
  assertEquals(await pass(600_000), []);
  await suspects.proved();
  assertEquals(await pass(0), ["mark 2"]);
  await suspects.end();
  assertEquals(await pass(0), ["let go 3"]);
  assertEquals(clock.timers, 0);
});

Deno.test("suspects that are in the way of the marked one are called alone, the oldest first", async () => {
  const { suspects, pass, clock } = scene();
  for (const message of [1, 2, 3]) await suspects.add(message, {});
  assertEquals(await pass(1000), ["mark 1"]);
  assertEquals(await pass(1500), ["call 2", "call 3"]);
  // The marked one may still be on its way: those that come now wait in their turn.
  await suspects.add(4, {});
  assertEquals(await pass(1000), []);
  assertEquals(await pass(1500), ["call 4"]);
  suspects.came();
  await suspects.proved();
  await suspects.add(5, {});
  assertEquals(await pass(0), ["mark 5"]);
  await suspects.end();
  assertEquals(clock.timers, 0);
});

Deno.test("a marked one that another consumer has is not waited for without end", async () => {
  const { suspects, pass } = scene();
  await suspects.add(1, {});
  for (let i = 0; i < 40; i++) await pass(2000);
  await suspects.add(2, {});
  assertEquals(await pass(0), ["mark 2"]);
  await suspects.end();
});

Deno.test("a suspect that cannot be marked now is called alone", async () => {
  const { suspects, pass, clock } = scene({ marks: false });
  await suspects.add(1, {});
  await suspects.add(2, {});
  assertEquals(await pass(0), ["mark 1", "call 1", "mark 2", "call 2"]);
  assertEquals(clock.timers, 0);
});

Deno.test("a marked one that comes before it is known to be marked is waited for as long as its handler takes", async () => {
  const { suspects, pass, clock } = scene({ onMark: () => suspects.came() });
  await suspects.add(1, {});
  await suspects.add(2, {});
  assertEquals(clock.timers, 0);
  assertEquals(await pass(600_000), ["mark 1"]);
  await suspects.end();
});
