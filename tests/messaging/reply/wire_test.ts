/** The headers of requests and of their answers. */

import { assertEquals } from "@std/assert";
import { MAX_WAIT } from "../../../model/checks.ts";
import { timeLeft } from "../../../messaging/reply/wire.ts";

Deno.test("somebody waits as long as the request says, and never longer than it may wait in its queue", () => {
  const until = (deadline: bigint | number | string) => ({
    "x-deadline": deadline,
  });
  assertEquals(timeLeft(until(1500), undefined, 1000), 500);
  assertEquals(timeLeft(until(1500n), 700, 1000), 500);
  assertEquals(timeLeft(until(1500), 300, 1000), 300);
  assertEquals(timeLeft(until(900), 300, 1000), -100);
  assertEquals(timeLeft(until("soon"), 300, 1000), 300);
  assertEquals(timeLeft({}, undefined, 1000), undefined);
  assertEquals(timeLeft(until(1e300), undefined, 1000), MAX_WAIT);
  assertEquals(timeLeft(until(1e300), 300, 1000), 300);
});
