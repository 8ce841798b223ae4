import { assert, assertEquals } from "@std/assert";
import { Heartbeat } from "../../../transports/redis/socket/heartbeat.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("Heartbeat notices silence within two heartbeats, whenever it begins (row 19)", () => {
  for (let begins = 0; begins < 30_000; begins += 100) {
    const clock = new TestClock();
    let silentAt: number | undefined;
    const heartbeat = new Heartbeat(clock, 10_000, {
      ask: () => {
        if (clock.now() < begins) heartbeat.hear();
      },
      onSilence: () => silentAt = clock.now(),
    });
    heartbeat.start();
    clock.pass(begins);
    heartbeat.hear();
    clock.pass(60_000);
    assert(silentAt !== undefined);
    const took = silentAt - begins;
    assert(took > 10_000 && took <= 20_100, `${took} ms from ${begins}`);
    assertEquals(clock.timers, 0);
  }
});

Deno.test("Heartbeat asks nobody who says enough, and nobody at all with 0", () => {
  for (const interval of [10_000, 0]) {
    const clock = new TestClock();
    let asked = 0;
    const heartbeat = new Heartbeat(clock, interval, {
      ask: () => asked++,
      onSilence: () => assert(false),
    });
    heartbeat.start();
    for (let i = 0; i < 60; i++) {
      clock.pass(1000);
      heartbeat.hear();
    }
    heartbeat.stop();
    assertEquals([asked, clock.timers], [0, 0]);
  }
});
