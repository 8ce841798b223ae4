import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  type Message,
  OptionError,
  Queue,
} from "../../../mod.ts";
import { Batches } from "../../../messaging/consume/batches.ts";
import { TestClock } from "../../../testing/clock.ts";

function open() {
  const connection = createConnection(
    `memory://batches-${crypto.randomUUID()}`,
    { onUnhandled: () => {} },
  );
  const queue = new Queue<number>("rows");
  return { connection, queue, consumer: connection.consumer(queue) };
}

Deno.test("runBatches() refuses what makes no sense, and says what would", async () => {
  const { connection, consumer } = open();
  const run = (options: object) => consumer.runBatches(() => {}, options);
  await assertRejects(() => run({ size: 0 }), RangeError, '"size"');
  await assertRejects(() => run({ wait: -1 }), RangeError, '"wait"');
  await assertRejects(() => run({ batchSize: 1 }), OptionError, 'it is "size"');
  await assertRejects(
    () => run({ size: 500 }),
    OptionError,
    'Cannot run batches of 500 messages: no more than 100 are fetched; give connection.consumer(…) a "prefetch" of 500 or more',
  );
  // deno-lint-ignore no-explicit-any -- as from no compiler
  const none = undefined as any;
  await assertRejects(() => consumer.runBatches(none), TypeError, "a list");
  await connection.close();
});

Deno.test("no more batches than concurrency are handled at once, each of size at most", async () => {
  const { connection, queue, consumer } = open();
  const producer = connection.producer({ queue });
  for (let n = 0; n < 40; n++) await producer.publish(n);
  let [running, most, seen, largest] = [0, 0, 0, 0];
  await consumer.runBatches(async (messages) => {
    most = Math.max(most, ++running);
    largest = Math.max(largest, messages.length);
    await new Promise((resolve) => setTimeout(resolve, 1));
    running--;
    if ((seen += messages.length) === 40) await consumer.cancel();
  }, { size: 10, wait: 1000, concurrency: 2 });
  assertEquals(most, 2);
  assert(largest <= 10, `${largest} in a batch`);
  await connection.close();
});

Deno.test("a message that cannot be read is in no batch, and parked alone", async () => {
  const { connection, queue, consumer } = open();
  const producer = connection.producer({ queue });
  await producer.publish(1);
  await connection.send("rows", "{", { contentType: "application/json" });
  await producer.publish(2);
  const batches: number[][] = [];
  await consumer.runBatches(async (messages) => {
    batches.push(messages.map(({ payload }) => payload));
    await consumer.cancel();
  }, { size: 2, wait: 60_000 });
  assertEquals(batches, [[1, 2]]);
  assertEquals(
    (await connection.queue("rows.failed").status()).messageCount,
    1,
  );
  await connection.close();
});

Deno.test("a handler that throws is told for what it left, and once where it left nothing", async () => {
  const { connection, queue, consumer } = open();
  const producer = connection.producer({ queue });
  for (let n = 0; n < 4; n++) await producer.publish(n);
  const told: number[] = [];
  let left = 2;
  await consumer.runBatches(async (messages) => {
    const settled = left-- === 2 ? messages.slice(1) : messages;
    for (const message of settled) await message.reject();
    if (left === 0) await consumer.cancel();
    throw new Error("no");
  }, {
    size: 2,
    wait: 60_000,
    retry: false,
    onError: (_, { payload }) => void told.push(payload),
  });
  assertEquals(told, [0, 2]);
  await connection.close();
});

Deno.test("a consumer that is cancelled hands over the batch that it has begun", async () => {
  const { connection, queue, consumer } = open();
  await connection.send(queue, 1);
  const stop = new AbortController();
  const batches: number[] = [];
  const running = consumer.runBatches((messages) => {
    batches.push(messages.length);
  }, { wait: 60_000, signal: stop.signal });
  while (consumer.health().inFlight === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  stop.abort();
  await running;
  assertEquals(batches, [1]);
  await connection.close();
});

Deno.test("setConcurrency() begins with batches that wait, each of those that it allows", async () => {
  const go = Promise.withResolvers<void>();
  const begun: Message<number>[][] = [];
  const handler = (messages: readonly Message<number>[]) => {
    begun.push([...messages]);
    return go.promise;
  };
  const batches = new Batches<number>(handler, { size: 1 }, 3, new TestClock());
  const handled = [1, 2, 3].map((payload) =>
    batches.add({ payload } as Message<number>)
  );
  assertEquals(begun.length, 1);
  batches.setConcurrency(2);
  assertEquals(begun.length, 2);
  go.resolve();
  await Promise.all(handled);
  assertEquals(begun.flat().map(({ payload }) => payload), [1, 2, 3]);
});

Deno.test("a batch has at most a hundred messages, is complete after 100 ms, and is handled alone, where nobody says otherwise", async () => {
  const clock = new TestClock();
  const begun: number[] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  const batches = new Batches<number>(
    (messages) => {
      begun.push(messages.length);
      const end = Promise.withResolvers<void>();
      ends.push(end);
      return end.promise;
    },
    {},
    250,
    clock,
  );
  const handled = Array.from(
    { length: 101 },
    (_, payload) => batches.add({ payload } as Message<number>),
  );
  assertEquals(begun, [100]);
  await clock.advance(99);
  assertEquals(ends.length, 1);
  handled.push(batches.add({ payload: 101 } as Message<number>));
  ends[0]?.resolve();
  await handled[0];
  assertEquals(begun, [100]);
  await clock.advance(1);
  assertEquals(begun, [100, 2]);
  ends[1]?.resolve();
  await Promise.all(handled);
});

Deno.test("what comes behind the end is handled at once", async () => {
  const sizes: number[] = [];
  const batches = new Batches<number>(
    (messages) => void sizes.push(messages.length),
    { wait: 60_000 },
    10,
    new TestClock(),
  );
  const first = batches.add({ payload: 1 } as Message<number>);
  assertEquals(sizes, []);
  batches.end();
  assertEquals(sizes, [1]);
  await Promise.all([first, batches.add({ payload: 2 } as Message<number>)]);
  assertEquals(sizes, [1, 1]);
});
