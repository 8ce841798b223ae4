/** Looks for what was left open. Deno's sanitizers do not see the sockets of `node:net`. */

import { getActiveResourcesInfo } from "node:process";
import { assertEquals } from "@std/assert";
import { turn } from "../../async/turn.ts";

/** Sockets close a turn or two after their client says so. */
const TURNS = 2000;

/** Milliseconds after which one is a leak: the other side may have to be heard first. */
const PATIENCE = 5000;

/** Milliseconds in which timers may end by themselves: Deno's sanitizer tells of those that do not. */
const LAST_TIMERS = 1000;

/** How many timers there were when a list was made. */
const TIMERS = new WeakMap<readonly string[], number>();

/** Lists what keeps the process alive now, but for timers. */
export function resources(): readonly string[] {
  const wraps = getActiveResourcesInfo().filter((each) => each.includes("Wrap"))
    .sort();
  TIMERS.set(wraps, timers());
  return wraps;
}

function timers(): number {
  return getActiveResourcesInfo().filter((each) => each === "Timeout").length;
}

/** Waits for timers of a moment that were set last, as for a pause between two attempts. */
async function lastTimers(before: number): Promise<void> {
  const end = performance.now() + LAST_TIMERS;
  while (timers() > before && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Asserts that nothing more is open than before. */
export async function assertNothingLeft(
  before: readonly string[],
): Promise<void> {
  await lastTimers(TIMERS.get(before) ?? Infinity);
  for (let i = 0; i < TURNS; i++) {
    if (resources().length <= before.length) return;
    await turn();
  }
  const end = performance.now() + PATIENCE;
  while (resources().length > before.length && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  if (resources().length <= before.length) return;
  assertEquals(resources(), before);
}
