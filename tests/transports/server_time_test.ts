import { assertEquals } from "@std/assert";
import { TestClock } from "../../testing/clock.ts";
import { ServerTime } from "../../transports/server_time.ts";

/** A clock whose calendar steps, and the server's time by it. */
function begin() {
  const clock = new TestClock();
  const calendar = { ahead: 0 };
  const time = new ServerTime({
    now: () => clock.now(),
    wall: () => clock.wall() + calendar.ahead,
  });
  return { clock, calendar, time };
}

Deno.test("the server's time goes on with the clock that does not step", () => {
  const { clock, calendar, time } = begin();
  time.hear(50_000, clock.now());
  assertEquals(time.now(), 50_000);
  calendar.ahead = 3_600_000;
  clock.pass(1000);
  assertEquals(time.now(), 51_000);
  time.hear(49_000, clock.now());
  assertEquals(time.now(), 49_000, "the server's clock was set back");
});

Deno.test("an answer that took its time moves the server's time no further than it must", () => {
  const { clock, time } = begin();
  time.hear(50_000, clock.now());
  const asked = clock.now();
  clock.pass(400);
  time.hear(50_100, asked);
  assertEquals(time.now(), 50_400);
  assertEquals(time.age, 400);
});

Deno.test("what is asked for late is not before the server's time, and follows a clock that was set", () => {
  const { clock, time } = begin();
  const asked = clock.now();
  clock.pass(100);
  time.hear(50_050, asked);
  assertEquals(time.now(true), 50_151);
  time.hear(90_000, clock.now());
  assertEquals(time.now(true), 90_001);
  time.hear(40_000, clock.now());
  assertEquals(time.now(true), 40_001);
});

Deno.test("until the server tells its time it is this machine's", () => {
  const { clock, time } = begin();
  assertEquals(time.now(), clock.wall());
  assertEquals(time.now(true), clock.wall());
  time.hear(undefined, clock.now());
  time.hear(NaN, clock.now());
  assertEquals(time.now(), clock.wall());
});
