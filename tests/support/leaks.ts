/** Looks for what was left open. Deno's sanitizers do not see the sockets of `node:net`. */

import { getActiveResourcesInfo } from "node:process";
import { assertEquals } from "@std/assert";
import { turn } from "../../async/turn.ts";

/** Sockets close a turn or two after their client says so. */
const TURNS = 2000;

/** Milliseconds after which one is a leak: the other side may have to be heard first. */
const PATIENCE = 5000;

/** Lists what keeps the process alive now. */
export function resources(): readonly string[] {
  return getActiveResourcesInfo().filter((each) => each.includes("Wrap"))
    .sort();
}

/** Asserts that nothing more is open than before. */
export async function assertNothingLeft(
  before: readonly string[],
): Promise<void> {
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
