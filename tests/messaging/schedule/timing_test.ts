/** The ticks of schedules, and which of them are published. */

import { assertEquals, assertRejects } from "@std/assert";
import { OptionError } from "@dashi/mq";
import type { When } from "../../../messaging/schedule/when.ts";
import {
  dueTicks,
  LATE,
  MAX_MISSED,
  retryDelay,
  timingOf,
} from "../../../messaging/schedule/timing.ts";

const at = (text: string) => Date.parse(text);

/** So many ticks after a moment, and the same from behind. */
async function ticks(when: When, from: string, count: number) {
  const timing = await timingOf(when);
  const found: number[] = [];
  for (let last = at(from); found.length < count;) {
    last = timing.after(last) ?? Infinity;
    found.push(last);
  }
  assertEquals(timing.before(found.at(-1) ?? 0, count), found);
  return found.map((tick) => new Date(tick).toISOString().slice(0, 16));
}

Deno.test("every interval is counted from 1970, so that all processes have the same ticks", async () => {
  const when = { every: 90 * 60_000 };
  assertEquals(await ticks(when, "1970-01-01T01:00Z", 3), [
    "1970-01-01T01:30",
    "1970-01-01T03:00",
    "1970-01-01T04:30",
  ]);
  const timing = await timingOf({ every: 1000 });
  assertEquals([timing.after(2000), timing.after(2001)], [3000, 3000]);
  assertEquals(timing.before(2999, 2), [1000, 2000]);
});

Deno.test("a tick that fails is tried again after a second, then ever slower, up to once a minute", () => {
  const delays = [0, 1, 2, 5, 6, 50].map(retryDelay);
  assertEquals(delays, [1000, 2000, 4000, 32_000, 60_000, 60_000]);
});

Deno.test("a cron expression of seven fields ends with the year, and ticks no more after it", async () => {
  const timing = await timingOf({ cron: "0 0 2 1 1 * 2030" });
  const last = Date.parse("2030-01-01T02:00Z");
  assertEquals(timing.after(Date.parse("2026-11-29T00:00Z")), last);
  assertEquals(timing.after(last), undefined);
});

Deno.test("a cron expression is meant in its time zone, which is UTC without one", async () => {
  assertEquals(await ticks({ cron: "0 2 * * *" }, "2026-11-29T02:00Z", 2), [
    "2026-11-30T02:00",
    "2026-12-01T02:00",
  ]);
  const when = { cron: "0 2 * * *", timezone: "America/New_York" };
  assertEquals(await ticks(when, "2026-11-29T02:00Z", 1), ["2026-11-29T07:00"]);
  const seconds = await timingOf({ cron: "*/10 * * * * *" });
  assertEquals(seconds.after(5000), 10_000);
});

Deno.test("a time in the hour that daylight saving skips ticks at its end, once", async () => {
  const when = { cron: "30 2 * * *", timezone: "Europe/Berlin" };
  assertEquals(await ticks(when, "2026-03-28T00:00Z", 3), [
    "2026-03-28T01:30",
    "2026-03-29T01:00", // 03:00, as there is no 02:30
    "2026-03-30T00:30",
  ]);
});

Deno.test("a time in the hour that daylight saving repeats ticks in the first, and each half hour in both", async () => {
  const when = { cron: "30 2 * * *", timezone: "Europe/Berlin" };
  assertEquals(await ticks(when, "2026-10-24T12:00Z", 2), [
    "2026-10-25T00:30",
    "2026-10-26T01:30",
  ]);
  const often = { cron: "*/30 * * * *", timezone: "Europe/Berlin" };
  assertEquals(await ticks(often, "2026-10-24T23:30Z", 5), [
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
    "2026-10-25T02:00",
  ]);
});

Deno.test("a date that never comes has no ticks", async () => {
  const timing = await timingOf({ cron: "0 0 30 2 *" });
  assertEquals([timing.after(0), timing.before(at("2026-01-01"), 3)], [
    undefined,
    [],
  ]);
});

Deno.test("a bad expression, and a time zone that is none, are option errors with what was given", async () => {
  for (
    const [when, words] of [
      [{ cron: "61 2 * * *" }, ['"61 2 * * *"', "minute"]],
      [{ cron: "at two" }, ['"at two"', "five, six"]],
      [{ cron: "0 2 * * *", timezone: "Mars/Olympus" }, [
        '"Mars/Olympus"',
        "Europe/Berlin",
      ]],
    ] as const
  ) {
    const error = await assertRejects(() => timingOf(when), OptionError);
    for (const word of words) {
      assertEquals(error.message.includes(word), true, error.message);
    }
  }
});

Deno.test("ticks are published in time whatever is said of missed ones, and missed ones as it is said", async () => {
  const timing = await timingOf({ every: 60_000 });
  const now = at("2026-11-29T12:00:30Z");
  const minutes = (first: string, count: number) =>
    Array.from({ length: count }, (_, n) => at(first) + n * 60_000);
  const hour = now - 3_600_000;
  const inTime = minutes("2026-11-29T11:56Z", LATE / 60_000);
  assertEquals(dueTicks(timing, now - 20_000, now, "all"), []);
  for (const missed of ["skip", "one", "all"] as const) {
    assertEquals(dueTicks(timing, now - LATE, now, missed), inTime);
  }
  assertEquals(dueTicks(timing, hour, now, "skip"), inTime);
  assertEquals(dueTicks(timing, hour, now, "one"), [
    at("2026-11-29T11:55Z"),
    ...inTime,
  ]);
  assertEquals(
    dueTicks(timing, hour, now, "all"),
    minutes("2026-11-29T11:01Z", 60),
  );
  const all = dueTicks(timing, 0, now, "all");
  assertEquals(all.length, MAX_MISSED + inTime.length);
  assertEquals(all.at(-1), inTime.at(-1));
});

Deno.test("a clock that jumps ahead leaves nothing out that is to be made up for, and one that goes back has none", async () => {
  const timing = await timingOf({ cron: "0 * * * *" });
  const last = at("2026-11-29T12:00Z");
  const ahead = last + 5 * 3_600_000 + 1000;
  assertEquals(dueTicks(timing, last, ahead, "all").length, 5);
  assertEquals(dueTicks(timing, last, ahead, "one").length, 2);
  assertEquals(dueTicks(timing, last, ahead, "skip"), [
    at("2026-11-29T17:00Z"),
  ]);
  assertEquals(dueTicks(timing, last, last - 7_200_000, "all"), []);
});
