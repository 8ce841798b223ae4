import { assertEquals } from "@std/assert";
import { atExit } from "../../../messaging/connection/at_exit.ts";

Deno.test("a function that is to be called at the end of the process is called once, however often that is told", () => {
  const called: string[] = [];
  atExit(() => called.push("first"));
  const callOff = atExit(() => called.push("second"));
  callOff();
  // Deno tells of it twice: as itself, and as Node would.
  globalThis.dispatchEvent(new Event("unload"));
  globalThis.dispatchEvent(new Event("unload"));
  assertEquals(called, ["first"]);
});
