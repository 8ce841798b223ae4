/** A server whose clock is set: what waits goes by how much time has passed. */

import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { ServerClock } from "../../../transports/redis/server_clock.ts";
import { TestClock } from "../../../testing/clock.ts";
import { canMoveClocks, startMovedRedis } from "../../support/moved_redis.ts";
import { connectTo, Raw, testAlone } from "../../support/redis.ts";
import { Worker } from "../../support/worker.ts";

const HOUR = 3600;

/** Registers a test whose server's clock is set, where that can be done. */
function testMoved(
  name: string,
  run: () => Promise<void>,
  isSlow: boolean,
): void {
  if (canMoveClocks()) testAlone(name, run, 90_000, isSlow);
  else {
    Deno.test({
      name: `redis: ${name} (there is no cc on this machine)`,
      ignore: true,
      fn() {},
    });
  }
}

for (const seconds of [-HOUR, HOUR]) {
  const way = seconds < 0 ? "back" : "forward";
  testMoved(
    `the server's clock is set ${way} an hour: messages of the killed are given back, the living keep theirs, and delays and times to live stay as they were`,
    async () => {
      await using server = await startMovedRedis();
      await using raw = new Raw(server.port);
      await using connection = connectTo(server.url);
      const [held, kept, delayed, timed] = ["held", "kept", "delayed", "timed"]
        .map((name) => new Queue(name));
      assert(held && kept && delayed && timed);
      const producer = connection.producer<number>({
        declare: [held, kept, delayed, timed],
      });
      for (let i = 0; i < 5; i++) {
        await producer.publish(i, { routingKey: held.name });
      }
      await producer.publish(0, { routingKey: kept.name });
      await using killed = new Worker({
        mode: "hold",
        url: server.url,
        queue: held.name,
        prefetch: 5,
      });
      await killed.until(({ got }) => got === 4);
      const mine = connection.consumer<number>(kept)[Symbol.asyncIterator]();
      const { value: inHand } = await mine.next();
      assert(inHand !== undefined);
      await producer.publish(1, { routingKey: delayed.name, delay: 5000 });
      await producer.publish(1, {
        routingKey: timed.name,
        expiration: 600_000,
      });
      await killed.kill();
      await server.set(seconds);
      // Another that comes now knows of no time before.
      await using other = connectTo(server.url);
      await producer.publish(2, { routingKey: delayed.name, delay: 1000 });
      const got: string[] = [];
      const { promise: all, resolve } = Promise.withResolvers<void>();
      const running = [held, delayed].map((queue) =>
        other.consumer<number>(queue).run(({ payload }) => {
          got.push(`${queue.name} ${payload}`);
          if (got.length === 7) resolve();
        })
      );
      const began = performance.now();
      await Promise.race([all, ...running]);
      const took = performance.now() - began;
      assert(took < 55_000, `${took} ms`);
      assertEquals(got.filter((each) => each.startsWith("held")).length, 5);
      assertEquals(await raw.number("LLEN", timed.name), 1);
      await inHand.ack();
      await mine.return?.();
      await other.close();
      await Promise.all(running);
    },
    seconds > 0, // half a minute, as the other way takes
  );
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

Deno.test("redis: the server's time is that of a clock that is never set", () => {
  const clock = new TestClock();
  const time = new ServerClock(clock);
  assertEquals(time.expected, ["", 0]);
  const start = 1_700_000_000_000;
  assertEquals(time.sync([start, utf8("0")], clock.now()), undefined);
  clock.pass(1000);
  assertEquals(time.now, start + 1000);
  // An answer that lay unread for a minute is no step.
  const sentAt = clock.now();
  clock.pass(60_000);
  assertEquals(time.sync([start + 1001, utf8("0")], sentAt), undefined);
  clock.pass(10_000);
  assertEquals(time.sync([start + 71_000, utf8("0")], clock.now()), undefined);
  assertEquals(time.now, start + 71_000);
  // One that is far ahead is.
  const ahead = time.sync([start + 71_000 + 3_600_000, utf8("0")], clock.now());
  assertEquals(ahead, 3_600_000);
  assertEquals(time.now, start + 71_000);
  // A time that was corrected is believed.
  assertEquals(time.sync([start + 5, utf8("1")], clock.now()), undefined);
  assertEquals(time.expected, ["1", start + 5]);
});

Deno.test("redis: the time of a cluster's nodes is believed as it is, and nothing is expected of it", () => {
  const clock = new TestClock();
  const time = new ServerClock(clock, false);
  const start = 1_700_000_000_000;
  assertEquals(time.sync([start, utf8("0")], clock.now()), undefined);
  assertEquals(time.sync([start + 9000, utf8("0")], clock.now()), undefined);
  assertEquals(time.now, start + 9000);
  assertEquals(time.expected, ["", 0]);
});
