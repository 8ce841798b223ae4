import { assertEquals } from "@std/assert";
import { ExpiringMap } from "../../async/expiring_map.ts";
import { TestClock } from "../../testing/clock.ts";

Deno.test("an entry goes with its own time, and not with that of the value before it", () => {
  const clock = new TestClock();
  const map = new ExpiringMap<number>(clock);
  map.set("a", 1, 10);
  map.set("a", 2, 30);
  map.set("b", 3, 20);
  clock.pass(9);
  assertEquals([map.get("a"), map.get("b"), map.size], [2, 3, 2]);
  clock.pass(11);
  assertEquals([map.get("a"), map.get("b"), map.size], [2, undefined, 1]);
  clock.pass(10);
  assertEquals([map.get("a"), map.size], [undefined, 0]);
});
