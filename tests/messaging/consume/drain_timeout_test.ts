/** A run ends by its `drainTimeout`, whatever its handlers wait for. */

import { assertEquals } from "@std/assert";
import {
  type Consumer,
  createConnection,
  Queue,
  type RunOptions,
} from "../../../mod.ts";

type Run = (
  consumer: Consumer<number>,
  handler: () => Promise<void>,
  options: Pick<RunOptions<number>, "drainTimeout" | "signal">,
) => Promise<void>;

const RUNS: readonly [string, Run][] = [
  ["run", (consumer, handle, options) => consumer.run(handle, options)],
  [
    "run with two places, and two messages",
    (consumer, handle, options) =>
      consumer.run(handle, { ...options, concurrency: 2 }),
  ],
  [
    "an ordered run",
    (consumer, handle, options) =>
      consumer.run(handle, { ...options, ordered: true, concurrency: 5 }),
  ],
  [
    "runBatches",
    (consumer, handle, options) =>
      consumer.runBatches(handle, { ...options, size: 1 }),
  ],
  [
    "route",
    (consumer, handle, options) =>
      consumer.route({ none: handle }, { ...options, unknown: handle }),
  ],
  ["serve", (consumer, handle, options) => consumer.serve(handle, options)],
];

for (const [name, run] of RUNS) {
  for (const end of ["its signal", "cancel()"]) {
    Deno.test(`the drainTimeout of ${name} that ${end} ends begins while a handler is in each place`, async () => {
      await using connection = createConnection("memory://drain-timeout");
      const queue = new Queue<number>(`${name}, ${end}`, {
        ordered: name === "an ordered run",
      });
      const producer = connection.producer({ queue, key: "one" });
      for (let id = 1; id <= 4; id++) await producer.publish(id);
      const begun = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      const stop = new AbortController();
      const consumer = connection.consumer(queue);
      let isReleased = false;
      const running = run(consumer, async () => {
        begun.resolve();
        await release.promise;
      }, { drainTimeout: 10, signal: stop.signal });
      await begun.promise;
      if (end === "cancel()") await consumer.cancel();
      else stop.abort();
      const guard = setTimeout(() => {
        isReleased = true;
        release.resolve();
      }, 5000);
      await running;
      clearTimeout(guard);
      assertEquals(isReleased, false);
      await consumer.close();
      const { messageCount } = await connection.queue(queue.name).status();
      assertEquals(messageCount, 4);
      release.resolve();
      await connection.queue(queue.name).delete();
    });
  }
}

for (const [name, run] of RUNS) {
  Deno.test(`${name} ends when its connection is closed, though its handler never does`, async () => {
    await using connection = createConnection("memory://drain-timeout");
    const queue = new Queue<number>(`${name}, closed`, {
      ordered: name === "an ordered run",
    });
    const producer = connection.producer({ queue, key: "one" });
    for (let id = 1; id <= 4; id++) await producer.publish(id);
    const begun = Promise.withResolvers<void>();
    const worker = createConnection("memory://drain-timeout");
    const running = run(worker.consumer(queue), () => {
      begun.resolve();
      return new Promise(() => {});
    }, {});
    await begun.promise;
    await worker.close({ drainTimeout: 10 });
    await running;
    const { messageCount } = await connection.queue(queue.name).status();
    assertEquals(messageCount, 4);
    await connection.queue(queue.name).delete();
  });
}

Deno.test("the drainTimeout of a run holds for a handler that is called alone", async () => {
  await using connection = createConnection("memory://drain-timeout");
  const queue = new Queue<number>("suspects");
  await connection.declare(queue);
  await using channel = await connection.channel();
  for (const headers of [{ "x-suspect": 1 }, {}]) {
    await channel.publish({
      exchange: "",
      routingKey: queue.name,
      mandatory: true,
      delay: 0,
      properties: { headers },
      body: new Uint8Array([49]),
      // As a retry, whose headers are kept.
      republished: true,
    });
  }
  const begun = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const stop = new AbortController();
  const consumer = connection.consumer(queue);
  let [isReleased, calls] = [false, 0];
  const running = consumer.run(async () => {
    calls++;
    begun.resolve();
    await release.promise;
  }, {
    concurrency: 5,
    retry: { attempts: 5 },
    drainTimeout: 10,
    signal: stop.signal,
  });
  await begun.promise;
  stop.abort();
  const guard = setTimeout(() => {
    isReleased = true;
    release.resolve();
  }, 5000);
  await running;
  clearTimeout(guard);
  assertEquals([isReleased, calls], [false, 1]);
  release.resolve();
});
