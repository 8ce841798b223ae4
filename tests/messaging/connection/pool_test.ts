import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ClosedError, createConnection, PoolError, Queue } from "@dashi/mq";

/** A pool, and the connection that it is of. */
function poolOf(options: { limit?: number; preload?: number } = {}) {
  return createConnection("memory://pools").pool(options);
}

Deno.test("a pool refuses limits that make no sense", () => {
  for (
    const options of [
      { limit: 0 },
      { limit: -1 },
      { limit: 1.5 },
      { preload: -1 },
      { preload: 0.5 },
      { limit: 2, preload: 3 },
    ]
  ) assertThrows(() => poolOf(options), RangeError);
});

Deno.test("a pool counts what it has and what is lent, from what was preloaded to its limit", async () => {
  await using pool = poolOf({ limit: 3, preload: 2 });
  assertEquals([pool.size, pool.inUse], [2, 0]);
  const first = await pool.acquire();
  assertEquals([pool.size, pool.inUse], [2, 1]);
  const [second, third] = [await pool.acquire(), await pool.acquire()];
  assertEquals([pool.size, pool.inUse], [3, 3]);
  assertEquals(new Set([first, second, third]).size, 3);
  await second.release();
  await second.release();
  assertEquals([pool.size, pool.inUse], [3, 2]);
  assert(await pool.acquire() === second);
});

Deno.test("a connection that was given back sends, and asks, for the next borrower too", async () => {
  await using pool = createConnection("memory://pool-send").pool({ limit: 1 });
  const queue = new Queue<number>("sent");
  for (let round = 1; round <= 2; round++) {
    await using lent = await pool.acquire();
    await lent.send(queue, round);
    const consumer = lent.consumer(queue);
    const serving = consumer.serve(({ payload }) => payload);
    assertEquals(await lent.request(round, { routingKey: "sent" }), round);
    await consumer.cancel();
    await serving;
  }
});

Deno.test("whoever waits in vain is told, and what comes then goes to the next", async () => {
  await using pool = poolOf({ limit: 1 });
  const only = await pool.acquire();
  const error = await assertRejects(
    () => pool.acquire({ timeout: 10 }),
    PoolError,
  );
  assert(error.message.includes("all 1"), error.message);
  const reason = new Error("mine");
  const controller = new AbortController();
  const aborted = pool.acquire({ signal: controller.signal });
  const last = pool.acquire({ timeout: 10_000 });
  controller.abort(reason);
  assertEquals(await aborted.catch((error: unknown) => error), reason);
  const signal = AbortSignal.abort(reason);
  assertEquals(
    await pool.acquire({ signal }).catch((error: unknown) => error),
    reason,
  );
  await only.release();
  assert(await last === only);
  assertEquals([pool.size, pool.inUse], [1, 1]);
});

Deno.test("a connection that is closed makes room for another, also for who waits", async () => {
  await using pool = poolOf({ limit: 1 });
  const first = await pool.acquire();
  const waiting = pool.acquire({ timeout: 10_000 });
  await first.close();
  const second = await waiting;
  assert(second !== first);
  await second.connect();
  assertEquals([pool.size, pool.inUse], [1, 1]);
  await second.close();
  assertEquals([pool.size, pool.inUse], [0, 0]);
});

Deno.test("a pool that is closed closes all, those that are lent too, and lends no more", async () => {
  const pool = poolOf({ limit: 2 });
  const [lent, idle] = [await pool.acquire(), await pool.acquire()];
  for (const each of [lent, idle]) await each.connect();
  await idle.release();
  await pool[Symbol.asyncDispose]();
  await pool[Symbol.asyncDispose]();
  assertEquals([lent.connected, idle.connected], [false, false]);
  await assertRejects(() => pool.acquire(), ClosedError);
  await lent.release();
  await assertRejects(() => lent.connect(), ClosedError);
});

Deno.test("release() waits for running handlers as long as it is told to", async () => {
  await using pool = poolOf({ limit: 1 });
  const connection = await pool.acquire();
  const queue = new Queue(crypto.randomUUID());
  await connection.send(queue, 1);
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  const running = connection.consumer(queue).run(async () => {
    begin();
    await over;
  });
  await begun;
  const began = performance.now();
  // Without a time of its own it would be the connection's: 30 seconds.
  await connection.release({ timeout: 10 });
  assert(performance.now() - began < 20_000);
  end();
  await running;
});

Deno.test("a caller that waits for a connection of a pool hears that it is closed", async () => {
  const pool = poolOf({ limit: 1 });
  await pool.acquire();
  const waiting = assertRejects(
    () => pool.acquire({ timeout: 60_000 }),
    ClosedError,
    "the pool is closed",
  );
  await pool.close();
  await waiting;
});
