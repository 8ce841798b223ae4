/** Messages for consumers that listen by themselves, until it is known whether they lived. */

import { assertEquals } from "@std/assert";
import { Listeners } from "../../../transports/redis/listening/listeners.ts";
import { TestClock } from "../../../testing/clock.ts";

const BYTES = new Uint8Array(1);

/** Owners that live as a test says. */
function stage() {
  const clock = new TestClock();
  const lives = new Map<string, number>();
  const log: string[] = [];
  const state = { fails: false, looks: 0 };
  const listeners = new Listeners<{ name: string; bytes: Uint8Array }>(clock, {
    now: () => clock.now(),
    readLives: (owners) => {
      state.looks++;
      if (state.fails) return Promise.reject(new Error("the server is gone"));
      return Promise.resolve(
        new Map([...lives].filter(([owner]) => owners.includes(owner))),
      );
    },
    onDead: (queue, messages) => {
      log.push(`${queue}: ${messages.map(({ name }) => name).join(" ")}`);
    },
    onForgotten: (queue, count) => log.push(`${queue}: ${count} forgotten`),
  });
  const settle = async () => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  const pass = async (duration: number) => {
    clock.pass(duration);
    await settle();
  };
  const add = async (name: string, ...owners: readonly string[]) => {
    listeners.add("q", owners, { name, bytes: BYTES });
    await settle();
  };
  const live = (owner: string) => lives.set(owner, clock.now() + 30_000);
  return { clock, lives, live, log, state, listeners, pass, add };
}

/** Looks until so much time has gone. */
async function wait(
  pass: (duration: number) => Promise<void>,
  duration: number,
): Promise<void> {
  for (let i = 0; i < duration; i += 2000) await pass(2000);
}

Deno.test("messages for a listener that is never heard of again come when its time is over, in order", async () => {
  const { live, log, pass, add, clock } = stage();
  live("a");
  await add("1", "a");
  await add("2", "a");
  await wait(pass, 28_000);
  assertEquals(log, []);
  await wait(pass, 4000);
  assertEquals(log, ["q: 1", "q: 2"]);
  assertEquals(clock.timers, 0);
});

Deno.test("messages for a listener that says afterwards that it lives do not come", async () => {
  const { live, lives, log, state, pass, add, clock } = stage();
  live("a");
  lives.set("b", 0);
  await add("1", "a", "b");
  await pass(2000);
  live("a");
  await pass(2000);
  lives.set("a", 0);
  const { looks } = state;
  await wait(pass, 60_000);
  assertEquals(log, []);
  assertEquals([clock.timers, state.looks], [0, looks]);
});

Deno.test("messages for a listener that was closed do not come, and for one that others found dead they do", async () => {
  const { live, lives, log, pass, add } = stage();
  live("closed");
  await add("1", "closed");
  lives.delete("closed");
  await pass(2000);
  live("dead");
  await add("2", "dead");
  await pass(29_000);
  await add("3", "unknown");
  assertEquals(log, ["q: 3"]);
  lives.delete("dead");
  await pass(2000);
  assertEquals(log, ["q: 3", "q: 2"]);
});

Deno.test("a look that fails is done again, and nothing is looked at behind the end", async () => {
  const { live, log, state, listeners, pass, add, clock } = stage();
  live("a");
  state.fails = true;
  await add("1", "a");
  await pass(2000);
  state.fails = false;
  await wait(pass, 40_000);
  assertEquals(log, ["q: 1"]);
  live("a");
  await add("2", "a");
  listeners.close();
  await wait(pass, 40_000);
  assertEquals([log, clock.timers], [["q: 1"], 0]);
});

Deno.test("of too many the oldest are forgotten, which is told if nobody got them", async () => {
  const { live, log, listeners, pass, add } = stage();
  live("a");
  await add("0", "a");
  for (let i = 1; i < 10_010; i++) {
    listeners.add("q", ["a"], { name: "", bytes: BYTES });
  }
  await wait(pass, 40_000);
  assertEquals(log[0], "q: 1 forgotten");
  assertEquals(log.filter((each) => each.endsWith("forgotten")).length, 2);
});
