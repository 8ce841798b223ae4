/**
 * The process lives with every garbled answer of a broker, calls end in time with errors
 * that have a type, and the connection works again once the broker is honest.
 * `deno task fuzz` runs many sessions with other seeds.
 */

import { assert } from "@std/assert";
import { TARGETS } from "../support/targets.ts";
import { fuzz } from "./session.ts";

const SESSIONS = Number(Deno.env.get("DASHI_TEST_FUZZ") ?? 6);
const SEED = Number(Deno.env.get("DASHI_TEST_SEED") ?? 1);
/** So many at once. */
const TOGETHER = 6;

for (const target of TARGETS) {
  const { name, url, reason } = target;
  Deno.test({
    name: `${name}: a broker whose words are garbled (${SESSIONS} sessions)${
      url === undefined ? ` (${reason})` : ""
    }`,
    ignore: url === undefined,
    // Drivers' timers outlive a dial that was given up, for a while.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      let next = SEED;
      let deeds = 0;
      const work = async () => {
        while (next < SEED + SESSIONS) {
          deeds += await fuzz(target, url ?? "", next++);
        }
      };
      await Promise.all(Array.from({ length: TOGETHER }, work));
      assert(deeds > 0, "nothing was garbled");
    },
  });
}
