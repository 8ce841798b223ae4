import { assertEquals } from "@std/assert";
import { FlapBackoff } from "../../../messaging/connection/flap_backoff.ts";

/** A backoff after lives of so many milliseconds. */
function after(...lives: readonly number[]): FlapBackoff {
  const flapping = new FlapBackoff();
  let now = 5000;
  for (const life of lives) {
    flapping.begin(now);
    now += life;
    flapping.end(now);
  }
  return flapping;
}

const POLICY = { initialDelay: 100, maxDelay: 10_000 };

Deno.test("a connection that lives on is had again at once, and so is one that came to nothing once", () => {
  for (const lives of [[], [0], [999], [5000], [0, 0, 1000], [0, 2000, 0]]) {
    assertEquals(after(...lives).delay(POLICY, 1), 0, `${lives}`);
  }
});

Deno.test("a connection that comes to nothing again and again waits longer each time, a second at most", () => {
  const delays = [2, 3, 4, 5, 6, 20].map((count) =>
    after(...new Array(count).fill(999)).delay(POLICY, 1)
  );
  assertEquals(delays, [100, 200, 400, 800, 1000, 1000]);
});

Deno.test("a policy of no retries slows nothing down, and defaults are the connection's", () => {
  assertEquals(after(0, 0, 0).delay(false, 1), 0);
  assertEquals(after(0, 0).delay({}, 1), 100);
  assertEquals(after(0, 0, 0, 0, 0, 0, 0, 0).delay({}, 1), 1000);
  assertEquals(after(0, 0, 0).shortLived, 3);
});
