/** Looks for what was left open. Deno's sanitizers do not see the sockets of `node:net`. */

import { getActiveResourcesInfo } from "node:process";
import { assertEquals } from "@std/assert";
import { turn } from "../../async/turn.ts";

/** Sockets close a turn or two after their client says so; more turns than this is a leak. */
const TURNS = 2000;

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
  assertEquals(resources(), before);
}
