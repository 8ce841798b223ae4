import { assert, assertEquals } from "@std/assert";
import type { Message } from "../../../mod.ts";
import type { Clock } from "../../../async/clock.ts";
import { RateLimit } from "../../../messaging/consume/rate_limit.ts";

function limitOn(clock: { time: number }, limit: number) {
  const frozen: Clock = {
    now: () => clock.time,
    wall: () => clock.time,
    timer: () => () => {},
  };
  const key = ({ payload }: Message<string>) => payload;
  return new RateLimit<string>({ limit, interval: 100, key }, frozen);
}

Deno.test("a rate limit counts in windows that slide, for each key", () => {
  const clock = { time: 0 };
  const limit = limitOn(clock, 2);
  limit.note("a");
  clock.time = 60;
  assertEquals(limit.delay("a"), 0);
  limit.note("a");
  assertEquals([limit.delay("a"), limit.delay("b")], [40, 0]);
  clock.time = 99;
  assertEquals(limit.delay("a"), 1);
  clock.time = 100;
  assertEquals(limit.delay("a"), 0);
  limit.note("a");
  assertEquals(limit.delay("a"), 60);
});

Deno.test("a rate limit forgets keys that are not used", () => {
  const clock = { time: 0 };
  const limit = limitOn(clock, 1);
  for (let n = 0; n < 10_000; n++) {
    clock.time += 1;
    limit.note(`key ${n}`);
  }
  assert(limit.size <= 1100, `${limit.size}`);
});
