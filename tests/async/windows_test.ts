import { assert, assertEquals } from "@std/assert";
import { Windows } from "../../async/windows.ts";

Deno.test("a rate counts in windows that slide, for each key", () => {
  const windows = new Windows();
  const rate = { limit: 2, interval: 100 };
  const delay = (key: string, now: number) => windows.delay(key, rate, now);
  windows.note("a", rate, 0);
  assertEquals(delay("a", 60), 0);
  windows.note("a", rate, 60);
  assertEquals([delay("a", 60), delay("b", 60)], [40, 0]);
  assertEquals(delay("a", 99), 1);
  assertEquals(delay("a", 100), 0);
  windows.note("a", rate, 100);
  assertEquals(delay("a", 100), 60);
});

Deno.test("a lower limit holds for what a higher one has counted", () => {
  const windows = new Windows();
  const high = { limit: 10, interval: 100 };
  for (let now = 0; now < 50; now += 10) windows.note("a", high, now);
  assertEquals(windows.delay("a", high, 50), 0);
  assertEquals(windows.delay("a", { limit: 2, interval: 100 }, 50), 80);
});

Deno.test("keys that are not used are forgotten", () => {
  const windows = new Windows();
  const rate = { limit: 1, interval: 100 };
  for (let now = 0; now < 10_000; now++) windows.note(`key ${now}`, rate, now);
  assert(windows.size <= 1100, `${windows.size}`);
});
