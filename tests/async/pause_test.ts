import { assertEquals } from "@std/assert";
import { TestClock } from "@dashi/mq/testing";
import { onAbort, pause, Pauses } from "../../async/pause.ts";

Deno.test("a pause takes its time, by its clock, and leaves nothing that listens", async () => {
  const clock = new TestClock();
  const { signal } = new AbortController();
  const listeners = countListeners(signal);
  const waiting = pause(clock, 1000, onAbort(signal));
  assertEquals([clock.timers, listeners()], [1, 1]);
  await clock.advance(999);
  assertEquals(clock.timers, 1);
  await clock.advance(1);
  await waiting;
  assertEquals([clock.timers, listeners()], [0, 0]);
});

Deno.test("a pause ends with a signal, and at once if that has aborted", async () => {
  const clock = new TestClock();
  const ending = new AbortController();
  const listeners = countListeners(ending.signal);
  const waiting = pause(clock, 1000, onAbort(ending.signal));
  ending.abort();
  await waiting;
  await pause(clock, 1000, onAbort(ending.signal));
  assertEquals([clock.timers, listeners()], [0, 0]);
});

Deno.test("all pauses of a connection end with it, and so do later ones", async () => {
  const clock = new TestClock();
  const pauses = new Pauses(clock);
  const waiting = [pauses.wait(1000), pauses.wait(2000)];
  await clock.advance(1000);
  await waiting[0];
  assertEquals([clock.timers, pauses.hasEnded], [1, false]);
  pauses.end();
  pauses.end();
  await waiting[1];
  await pauses.wait(1000);
  assertEquals([clock.timers, pauses.hasEnded], [0, true]);
});

/** Counts who listens to a signal from now on. */
function countListeners(signal: AbortSignal): () => number {
  const there = new Set<unknown>();
  const { addEventListener: add, removeEventListener: remove } = signal;
  signal.addEventListener = ((type: "abort", callback: () => void) => {
    there.add(callback);
    add.call(signal, type, callback);
  }) as typeof add;
  signal.removeEventListener = ((type: "abort", callback: () => void) => {
    there.delete(callback);
    remove.call(signal, type, callback);
  }) as typeof remove;
  return () => there.size;
}
