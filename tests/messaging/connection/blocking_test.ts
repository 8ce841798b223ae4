/** Whether a broker takes messages, of a connection that has several ways to it. */

import { assertEquals } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import { Blocking } from "../../../messaging/connection/blocking.ts";
import type { ConnectionEvent } from "../../../messaging/connection/connection_state.ts";

Deno.test("a connection that is blocked twice and lost is not blocked, and one block more is over with one end", async () => {
  const blocking = new Blocking();
  const note = (type: "blocked" | "unblocked" | "lost") =>
    blocking.note({ type, reason: "low on memory" } as ConnectionEvent);
  const isBlocked = async () => {
    let begun = false;
    blocking.begun.then(() => begun = true);
    await turn();
    assertEquals(blocking.reason, begun ? "low on memory" : undefined);
    return begun;
  };
  note("blocked");
  note("blocked");
  note("unblocked");
  assertEquals(await isBlocked(), true);
  note("lost");
  assertEquals(await isBlocked(), false);
  note("blocked");
  assertEquals(await isBlocked(), true);
  note("unblocked");
  assertEquals(await isBlocked(), false);
});
