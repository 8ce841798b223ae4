import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  ClosedError,
  createConnection,
  OptionError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { createMemoryInbox } from "@dashi/mq/inbox";
import { createTestBroker } from "@dashi/mq/testing";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

Deno.test("a handler that fails is called again as time passes, and its message is parked", async () => {
  await using broker = createTestBroker({
    connection: { onUnhandled: () => {} },
  });
  const { connection, clock, idle } = broker;
  const orders = new Queue("orders");
  const calls: number[] = [];
  const running = connection.consumer(orders).run(() => {
    calls.push(clock.now());
    throw new Error("no");
  }, { retry: { attempts: 4, initialDelay: MINUTE, maxDelay: HOUR } });
  await connection.send(orders, 1);
  await idle();
  assertEquals(calls, [0]);
  await clock.advance(MINUTE - 1);
  assertEquals(calls.length, 1);
  await clock.advance(HOUR);
  // Waits are not left to chance here.
  assertEquals(calls, [0, MINUTE, 3 * MINUTE, 7 * MINUTE]);
  const dead = await connection.queue("orders.failed").get();
  assertEquals(dead?.headers["x-error-message"], "no");
  await connection.close();
  await running;
});

Deno.test("a handler that waits for something real ends before time goes on", async () => {
  await using broker = createTestBroker({
    connection: { onUnhandled: () => {} },
  });
  const { connection, clock } = broker;
  const orders = new Queue("orders");
  const calls: number[] = [];
  const running = connection.consumer(orders).run(async () => {
    calls.push(clock.now());
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (calls.length < 3) throw new Error("no");
  }, { retry: { backoff: MINUTE } });
  await connection.send(orders, 1);
  await clock.advance(10 * MINUTE);
  assertEquals(calls, [0, MINUTE, 2 * MINUTE]);
  await connection.close();
  await running;
});

Deno.test("a handler may wait for the clock", async () => {
  await using broker = createTestBroker();
  const { connection, clock, idle } = broker;
  const orders = new Queue("orders");
  const done: number[] = [];
  const begun = Promise.withResolvers<void>();
  let handlers = 0;
  const running = connection.consumer(orders).run(async () => {
    if (++handlers === 2) begun.resolve();
    await clock.sleep(HOUR);
    done.push(clock.now());
  }, { concurrency: 2 });
  await connection.send(orders, 1);
  await connection.send(orders, 2);
  await begun.promise;
  const error = await assertRejects(
    () => idle({ timeout: 20 }),
    TimeoutError,
    "has 2 messages that it has not settled",
  );
  assert(/the next timer is due in \d+ ms/.test(error.message), error.message);
  await clock.advance(HOUR);
  assertEquals(done, [HOUR, HOUR]);
  await idle();
  await connection.close();
  await running;
});

Deno.test("code that connects by the URL meets the broker, and goes by its clock", async () => {
  await using broker = createTestBroker();
  const connection = createConnection(broker.url);
  const orders = new Queue("orders");
  await connection.declare(orders);
  await connection.send(orders, 1, { delay: HOUR });
  await connection.send(orders, 2, { expiration: HOUR, messageId: "two" });
  const other = broker.connection.queue(orders);
  assertEquals((await other.status()).messageCount, 1);
  await broker.clock.advance(HOUR);
  const [message, none] = [await other.get(), await other.get()];
  assertEquals([message?.payload, none], [1, undefined]);
  assertEquals(
    broker.published.map((
      { payload, routingKey, delay, properties, origin },
    ) => [
      payload,
      routingKey,
      delay,
      properties.messageId === "two",
      origin,
    ]),
    [[1, "orders", HOUR, false, "publish"], [2, "orders", 0, true, "publish"]],
  );
});

Deno.test("brokers do not see each other, nor those of other tests", async () => {
  await using one = createTestBroker();
  await using two = createTestBroker();
  assert(one.url !== two.url);
  await one.connection.declare(new Queue("orders"));
  await one.connection.send("orders", 1);
  await assertRejects(() => two.connection.check("orders"), Error, "orders");
  await one.clock.advance(HOUR);
  assertEquals([one.published.length, two.published.length], [1, 0]);
  assertEquals(two.clock.now(), 0);
});

Deno.test("a broker that is closed is one of memory again, without its clock", async () => {
  const broker = createTestBroker();
  await broker.close();
  await broker.close();
  await using connection = createConnection(broker.url);
  const clock = Date.now();
  const { since } = await connection.connect().then(() => connection.state) as {
    readonly since: Date;
  };
  assert(Math.abs(+since - clock) < 10_000);
});

Deno.test("leases, breakers, rates and batches go by the clock", async () => {
  await using broker = createTestBroker({
    connection: { onUnhandled: () => {} },
  });
  const { connection, clock } = broker;
  const rated = new Queue("rated");
  const rates: number[] = [];
  const running = [
    connection.consumer(rated).run(() => {
      rates.push(clock.now());
    }, { rateLimit: { limit: 1, interval: MINUTE } }),
  ];
  const batched = new Queue("batched");
  const batches: unknown[] = [];
  running.push(
    connection.consumer(batched).runBatches((messages) => {
      batches.push([clock.now(), messages.length]);
    }, { size: 10, wait: HOUR }),
  );
  const broken = new Queue("broken");
  const breaks: number[] = [];
  running.push(
    connection.consumer(broken).run(() => {
      breaks.push(clock.now());
      throw new Error("no");
    }, {
      breaker: { failures: 1, within: MINUTE, rest: 2 * HOUR },
      retry: { backoff: 0, attempts: 2 },
    }),
  );
  for (const queue of [rated, batched, broken]) {
    for (let i = 0; i < 3; i++) await connection.send(queue, i);
  }
  await clock.advance(3 * HOUR);
  assertEquals(rates, [0, MINUTE, 2 * MINUTE]);
  assertEquals(batches, [[HOUR, 3]]);
  assertEquals(breaks.slice(0, 2), [0, 2 * HOUR]);
  await connection.close();
  await Promise.all(running);
});

Deno.test("schedules tick by the clock, and their first call does not run it ahead", async () => {
  const date = new Date("2026-11-29T23:00:00Z");
  await using broker = createTestBroker({ date });
  const { connection, clock, published, idle } = broker;
  const reports = new Queue("reports");
  const calls: string[] = [];
  const running = connection.consumer(reports).run(() => {
    calls.push(new Date(clock.wall()).toISOString());
  });
  const info = await clock.advanceUntil(
    connection.schedule("nightly", { cron: "0 2 * * *" }, {
      queue: reports,
      payload: "all",
    }),
  );
  assert(clock.now() < 10_000, `${clock.now()}`);
  assertEquals(info.next?.toISOString(), "2026-11-30T02:00:00.000Z");
  await clock.advance(4 * HOUR);
  await idle();
  assertEquals(calls, ["2026-11-30T02:00:00.000Z"]);
  assertEquals(
    published.map(({ payload, origin, properties }) => [
      payload,
      origin,
      properties.messageId,
    ]),
    [["all", "schedule", "nightly@2026-11-30T02:00:00.000Z"]],
  );
  await connection.close();
  await running;
});

Deno.test("a request times out by the clock, and an inbox forgets by it", async () => {
  await using broker = createTestBroker();
  const { connection, clock, idle } = broker;
  const asked = new Queue("asked");
  await connection.declare(asked);
  await assertRejects(
    () =>
      clock.advanceUntil(
        connection.request(1, { routingKey: "asked", timeout: HOUR }),
      ),
    TimeoutError,
  );
  await connection.purge(asked);
  const inbox = createMemoryInbox({ window: HOUR }, clock);
  let calls = 0;
  const running = connection.consumer(asked).run(() => {
    calls++;
  }, { inbox });
  const send = async () => {
    await connection.send(asked, 1, { messageId: "one" });
    await idle();
  };
  await send();
  await send();
  assertEquals(calls, 1);
  await clock.advance(HOUR);
  await send();
  assertEquals(calls, 2);
  await connection.close();
  await running;
});

Deno.test("a loop that has a message is not idle, and one that waits is", async () => {
  await using broker = createTestBroker();
  const { connection, idle } = broker;
  const orders = new Queue<number>("orders");
  const go = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const loop = (async () => {
    for await (const message of connection.consumer(orders)) {
      begun.resolve();
      await go.promise;
      await message.ack();
    }
  })();
  await connection.send(orders, 1);
  await begun.promise;
  await assertRejects(
    () => idle({ timeout: 20 }),
    TimeoutError,
    'the consumer of "orders" has 1 message that it has not settled',
  );
  go.resolve();
  await idle();
  assertEquals((await connection.queueStatus(orders)).messageCount, 0);
  await connection.close();
  await loop;
});

Deno.test("messages that nobody consumes do not keep it from being idle", async () => {
  await using broker = createTestBroker();
  const { connection, idle } = broker;
  await connection.declare(new Queue("orders"));
  await connection.send("orders", 1);
  await connection.send("orders", 1, { delay: HOUR });
  await idle();
});

Deno.test("a thousand messages are handled when it is idle", async () => {
  await using broker = createTestBroker();
  const { connection, idle } = broker;
  const orders = new Queue<number>("orders");
  let sum = 0;
  const running = connection.consumer(orders).run(async ({ payload }) => {
    await undefined;
    sum += payload;
  }, { concurrency: 3 });
  const producer = connection.producer({ queue: orders });
  for (let i = 1; i <= 1000; i++) void producer.publish(i);
  await idle();
  assertEquals(sum, 500_500);
  await connection.close();
  await running;
});

Deno.test("a pool and a clone go by the clock", async () => {
  await using broker = createTestBroker();
  const { connection, clock, published } = broker;
  await using pool = connection.pool({ limit: 1 });
  const lent = await pool.acquire();
  await assertRejects(
    () => clock.advanceUntil(pool.acquire({ timeout: HOUR })),
    Error,
    "all 1 are in use",
  );
  await lent.declare(new Queue("orders"));
  await lent.send("orders", 1);
  await using clone = connection.clone();
  await clone.send("orders", 2);
  assertEquals(published.map(({ payload }) => payload), [1, 2]);
});

Deno.test("a handler that never ends is told, and does not keep the broker from closing", async () => {
  const broker = createTestBroker({ connection: { onUnhandled: () => {} } });
  const { connection, clock } = broker;
  const orders = new Queue("orders");
  const running = connection.consumer(orders).run(
    () => new Promise<void>(() => {}),
    { drainTimeout: HOUR },
  );
  await connection.send(orders, 1);
  await clock.advance(MINUTE, { handlers: false });
  assertEquals(clock.now(), MINUTE);
  await broker.close();
  await clock.advanceUntil(running, { handlers: false });
});

Deno.test("an option that is unknown is refused", () => {
  assertThrows(
    () => createTestBroker({ dat: new Date() } as object),
    OptionError,
    '"date"',
  );
});

Deno.test("a month passes quickly", async () => {
  await using broker = createTestBroker();
  const { connection, clock } = broker;
  const orders = new Queue("orders");
  const calls: number[] = [];
  const running = connection.consumer(orders).run(() => {
    calls.push(clock.now());
  });
  await connection.send(orders, 1, { delay: 24 * HOUR });
  const began = performance.now();
  await clock.advance(30 * 24 * HOUR);
  assertEquals(calls, [24 * HOUR]);
  assert(performance.now() - began < 30_000);
  await connection.close();
  await running;
});

Deno.test("what was published is seen as before the middlewares, and handlers with them", async () => {
  await using broker = createTestBroker();
  const { connection, published, idle } = broker;
  let processed = 0;
  connection.use({
    publish: (message, next) =>
      next({ headers: { ...message.headers, added: "by a middleware" } }),
    process: async (_, next) => {
      await next();
      await new Promise((resolve) => setTimeout(resolve, 20));
      processed++;
    },
  });
  const orders = new Queue("orders");
  const headers: unknown[] = [];
  const running = connection.consumer(orders, { autoAck: true }).run(
    (message) => {
      headers.push(message.headers["added"]);
    },
  );
  await connection.send(orders, 1);
  // It is settled before its handler begins, which is waited for all the same.
  await idle();
  assertEquals([processed, headers], [1, ["by a middleware"]]);
  assertEquals(published.map(({ headers }) => headers), [{}]);
  await connection.close();
  await running;
});

Deno.test("a broker that was closed is not connected to", async () => {
  const broker = createTestBroker();
  const closing = broker.close();
  const refused = () =>
    assertThrows(() => broker.connect(), ClosedError, "was closed");
  refused();
  await closing;
  refused();
});
