/** A process's share in a table of schedules, as its clock goes. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { TestClock } from "../../../testing/clock.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  type CloseReason,
  createStoreTransport,
} from "../../../transports/store/mod.ts";
import { schedulerOf } from "../../support/scheduler.ts";
import { changed } from "../../support/stores.ts";

Deno.test("a schedule that has nothing to do for long is held all the same, and its holder had the time of the call to answer", async () => {
  const clock = new TestClock();
  const url = `memory://${crypto.randomUUID()}`;
  const { scheduler, timeouts, close } = schedulerOf(url, clock);
  clock.pass(60_000);
  const queue = new Queue("beats");
  const options = { queue, timeout: 20_000 };
  await clock.advanceUntil(
    scheduler.schedule("beat", { every: 3_600_000 }, options),
  );
  assertEquals(timeouts, [20_000]);
  for (let time = 0; time < 10_000; time += 500) {
    await clock.advance(500);
    assertEquals(scheduler.health().held, 1, `after ${time} ms`);
  }
  await clock.advanceUntil(close());
});

Deno.test("a process that finds nothing to hold leaves the queue to others, and holds it when it is there again", async () => {
  const clock = new TestClock();
  const url = `memory://${crypto.randomUUID()}`;
  const { scheduler, close } = schedulerOf(url, clock);
  await using other = createConnection(url);
  const queue = new Queue("beats");
  await clock.advanceUntil(
    scheduler.schedule("beat", { every: 3_600_000 }, { queue }),
  );
  const table = "dashi.schedules";
  const consumers = async () => (await other.queueStatus(table)).consumerCount;
  const token = await other.queue(table).get();
  await clock.advance(1000);
  assertEquals(await consumers(), 1);
  await clock.advance(4000);
  assertEquals([await consumers(), scheduler.health().held], [0, 0]);
  await token?.requeue();
  await clock.advance(5000);
  assertEquals([await consumers(), scheduler.health().held], [1, 1]);
  await clock.advanceUntil(close());
});

Deno.test("a holder whose broker has lost all puts its schedules there again at once", async () => {
  const clock = new TestClock();
  let broker = new MemoryBroker(clock);
  let lose = () => {};
  const transport = createStoreTransport({
    name: "forgetful",
    open(_, { clock }) {
      const inner = new MemoryStore(broker, { clock });
      const { promise: closed, resolve } = Promise.withResolvers<CloseReason>();
      lose = () => {
        resolve({ type: "lost", error: new Error("it was started anew") });
        void inner[Symbol.asyncDispose]();
      };
      inner.closed.then(resolve);
      return Promise.resolve({ ...changed(inner, {}), closed });
    },
  });
  const { scheduler, close } = schedulerOf("forgetful://", clock, transport);
  const options = { queue: new Queue("beats") };
  await clock.advanceUntil(
    scheduler.schedule("beat", { every: 1000 }, options),
  );
  await clock.advance(1500);
  broker = new MemoryBroker(clock);
  lose();
  const ticks = () => broker.queue("beats")?.size ?? 0;
  let passed = 0;
  for (; passed < 10_000 && ticks() === 0; passed += 100) {
    await clock.advance(100);
  }
  assert(passed <= 3000, `the next tick came after ${passed} ms`);
  await clock.advanceUntil(close());
});
