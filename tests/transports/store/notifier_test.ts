/** A store that tells of news is asked for what it told of, and for nothing else. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { createStoreTransport } from "../../../transports/store/mod.ts";
import type { Transport } from "../../../transports/transport.ts";
import { parseUrl } from "../../../url/mod.ts";
import { message, QUEUE } from "../../support/stores.ts";

/** Makes connections to a memory store, and notes what each `reserve` asks for. */
function noting(broker: MemoryBroker, asked: string[][]): Transport {
  return createStoreTransport({
    name: "noting",
    open: (_, options) => {
      const store = new MemoryStore(broker, options);
      const { reserve } = store;
      store.reserve = (wants, settings) => {
        assertEquals(settings.wait, 0);
        asked.push(wants.map(({ queue }) => queue));
        return reserve.call(store, wants, settings);
      };
      return Promise.resolve(store);
    },
  });
}

/** Opens a channel on one. */
async function openNoting(broker: MemoryBroker, asked: string[][]) {
  const connection = await noting(broker, asked).connect(
    parseUrl("noting://"),
    {
      heartbeat: 0,
      transportOptions: {},
      operationTimeout: 1000,
      owner: crypto.randomUUID(),
      clock: SYSTEM_CLOCK,
    },
  );
  return { connection, channel: await connection.openChannel() };
}

Deno.test("a message of one of many queues costs a look at that one", async () => {
  const asked: string[][] = [];
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const { connection, channel } = await openNoting(broker, asked);
  let came = Promise.withResolvers<void>();
  for (let i = 0; i < 50; i++) {
    await channel.declareQueue({ ...QUEUE, name: `q${i}` });
    await channel.consume(`q${i}`, () => came.resolve(), { prefetch: 10 });
  }
  for (let i = 0; i < 5; i++) await Promise.resolve();
  asked.length = 0;
  for (let i = 0; i < 10; i++) {
    came = Promise.withResolvers<void>();
    await channel.publish(message("", `q${i}`));
    await came.promise;
  }
  assert(asked.length > 0);
  assertEquals(asked.filter((queues) => queues.length > 1), []);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a notice that a consumer got and has not taken when it ends is the next one's", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const one = await openNoting(broker, []);
  const other = await openNoting(broker, []);
  await one.channel.declareQueue(QUEUE);
  const came = Promise.withResolvers<void>();
  const ending = await one.channel.consume(QUEUE.name, () => {}, {
    prefetch: 1,
  });
  await other.channel.consume(QUEUE.name, () => came.resolve(), {
    prefetch: 1,
  });
  // The first has room for one, and goes with it.
  await other.channel.publish(message("", QUEUE.name));
  await ending[Symbol.asyncDispose]();
  await one.connection[Symbol.asyncDispose]();
  await came.promise;
  await other.connection[Symbol.asyncDispose]();
});

Deno.test("what handlers settle one by one is fetched a quarter of the prefetch at a time", async () => {
  const asked: string[][] = [];
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  await using connection = createConnection("noting://", {
    transport: noting(broker, asked),
  });
  const producer = connection.producer({ queue: new Queue("jobs") });
  for (let i = 0; i < 200; i++) await producer.publish(i);
  let left = 200;
  const consumer = connection.consumer("jobs", { prefetch: 40 });
  await consumer.run(() => {
    if (--left === 0) void consumer.cancel();
  });
  // 40, and 16 times ten; a look that finds nothing may be beside them.
  assert(asked.length <= 20, `${asked.length} calls of the store`);
});

Deno.test("a handler that is free gets a message at once, though the others have theirs", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  await using connection = createConnection("noting://", {
    transport: noting(broker, []),
  });
  const producer = connection.producer({ queue: new Queue("jobs") });
  for (let i = 0; i <= 8; i++) await producer.publish(i);
  const consumer = connection.consumer<number>("jobs", { prefetch: 8 });
  const busy = Promise.withResolvers<void>();
  const last = Promise.withResolvers<void>();
  const running = consumer.run(({ payload }) => {
    if (payload === 0) return;
    if (payload === 8) return last.resolve();
    return busy.promise;
  }, { concurrency: 8 });
  await last.promise;
  busy.resolve();
  await consumer.cancel();
  await running;
});
