import { assertEquals } from "@std/assert";
import {
  age,
  clock,
  compact,
  count,
  rate,
} from "../../../cli/ui/page/numbers.js";

const NUMBERS = [0, 1, 9, 12, 99, 100, 999, 1000, 1001, 1234, 9999, 10_000]
  .concat(12_345, 99_949, 100_000, 123_456, 999_499, 1_000_000, 1_250_001)
  .concat(12_345_678, 999_999_999, 1_234_567_890, 7_123_456_789_012)
  .concat(0.5, 0.25, 1.5, 2.25, 3.141, 12.5, 1234.567, 0.05);

Deno.test("the page writes counts and rates as Intl does", () => {
  const whole = new Intl.NumberFormat("en");
  const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
  for (const each of NUMBERS) {
    assertEquals(count(each), whole.format(each));
    if (each === 0) continue;
    assertEquals(rate(each), `+${short.format(each)}`);
    assertEquals(rate(-each), `−${short.format(each)}`);
  }
  assertEquals([rate(0), rate(undefined), count(null)], ["0", "–", "–"]);
});

Deno.test("the page writes numbers at a chart's edge as Intl does", () => {
  const format = new Intl.NumberFormat("en", { notation: "compact" });
  for (const each of NUMBERS) {
    assertEquals(compact(each), format.format(each));
    if (each > 0) assertEquals(compact(-each), format.format(-each));
  }
});

Deno.test("the page writes times of a day as the reader's clocks show them, and ages in one unit", () => {
  const format = new Intl.DateTimeFormat("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  for (const each of [0, 1_764_512_345_678, 1_790_000_000_999]) {
    assertEquals(clock(each), format.format(each));
  }
  assertEquals([5, 90, 7200, 200_000].map(age), ["5 s", "2 min", "2 h", "2 d"]);
  assertEquals(age(undefined), "–");
});
