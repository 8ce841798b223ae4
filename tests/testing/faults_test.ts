import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  AccessRefusedError,
  ConnectionError,
  OptionError,
  PublishError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { createTestBroker, type TestBroker } from "@dashi/mq/testing";

const orders = new Queue<number>("orders");

/** A broker with a queue, and a way to count its messages. */
async function stage(): Promise<
  { readonly broker: TestBroker; count(): Promise<number | undefined> }
> {
  const broker = createTestBroker({ connection: { onUnhandled: () => {} } });
  await broker.connection.declare(orders);
  return {
    broker,
    count: async () =>
      (await broker.connection.queueStatus(orders)).messageCount,
  };
}

Deno.test("a publish is refused, that one and no other", async () => {
  const { broker, count } = await stage();
  await using _ = broker;
  const { connection, faults, published } = broker;
  const fault = faults.refuse("publish", { call: 2, times: 2 });
  await connection.send(orders, 1);
  for (const payload of [2, 3]) {
    await assertRejects(
      () => connection.send(orders, payload),
      PublishError,
      "the test has ordered it",
    );
  }
  await connection.send(orders, 4);
  assertEquals(fault.hits, 2);
  assertEquals(published.map(({ payload }) => payload), [1, 4]);
  assertEquals(await count(), 2);
});

Deno.test("a call rejects with the error of the test", async () => {
  const { broker } = await stage();
  await using _ = broker;
  const { connection, faults } = broker;
  faults.refuse("check", { error: new RangeError("mine") });
  await assertRejects(() => connection.check(orders), RangeError, "mine");
  faults.refuse("purge");
  await assertRejects(
    () => connection.purge(orders),
    AccessRefusedError,
    'Cannot purge "orders"',
  );
  faults.refuse("purge", { times: Infinity }).cancel();
  await connection.purge(orders);
});

Deno.test("a connection that is refused is tried again, as time passes", async () => {
  await using broker = createTestBroker({
    connection: { onUnhandled: () => {} },
  });
  const { connection, clock, faults } = broker;
  const fault = faults.refuse("connect", { times: 3 });
  await clock.advanceUntil(connection.connect());
  assertEquals(fault.hits, 3);
  assertEquals(clock.now(), 100 + 200 + 400);

  const late = broker.connect({ onUnhandled: () => {} });
  faults.delay("connect", 4000);
  const before = clock.now();
  await clock.advanceUntil(late.connect());
  assertEquals(clock.now() - before, 4000);

  const never = broker.connect({ onUnhandled: () => {} });
  faults.refuse("connect", { times: Infinity });
  await assertRejects(
    () => clock.advanceUntil(never.connect()),
    ConnectionError,
    "the test has ordered it",
  );
});

Deno.test("an answer that is lost is one message twice; a call that is lost is one", async () => {
  const { broker, count } = await stage();
  await using _ = broker;
  const { connection, clock, faults, published } = broker;
  faults.lose("publish", { done: true });
  await clock.advanceUntil(connection.send(orders, 1));
  assertEquals(await count(), 2);
  faults.lose("publish");
  await clock.advanceUntil(connection.send(orders, 2));
  assertEquals(await count(), 3);
  assertEquals(published.map(({ payload }) => payload), [1, 2]);
});

Deno.test("a message whose ack is lost is delivered again", async () => {
  const { broker, count } = await stage();
  await using _ = broker;
  const { connection, clock, faults } = broker;
  const seen: boolean[] = [];
  const consumer = connection.consumer(orders);
  const running = consumer.run(({ deliveryInfo }) => {
    seen.push(deliveryInfo.redelivered);
  });
  const fault = faults.lose("ack");
  await connection.send(orders, 1);
  await clock.advance(10_000);
  assertEquals([seen, fault.hits], [[false, true], 1]);
  assertEquals(await count(), 0);
  await consumer.close();
  await running;
});

Deno.test("a call is late, and one whose time is over rejects before", async () => {
  const { broker, count } = await stage();
  await using _ = broker;
  const { connection, clock, faults } = broker;
  faults.delay("publish", 10_000, { times: 2 });
  const late = connection.send(orders, 1);
  await clock.advance(9_999);
  assertEquals(await count(), 0);
  await clock.advance(1);
  await late;
  assertEquals(await count(), 1);
  const before = clock.now();
  const error = await assertRejects(
    () => clock.advanceUntil(connection.send(orders, 2, { timeout: 2000 })),
    TimeoutError,
  );
  assertEquals(error.outcome, "unknown");
  // Deadlines are looked at once in a second.
  assertEquals(clock.now() - before, 2000);
});

Deno.test("all connections are lost together, and come again", async () => {
  const { broker } = await stage();
  await using _ = broker;
  const { connection, clock } = broker;
  const other = broker.connect({ onUnhandled: () => {} });
  await other.connect();
  await broker.loseConnections();
  assertEquals([connection.connected, other.connected], [true, true]);
  await connection.send(orders, 1);
  await other.send(orders, 2);
  // Soon after that they wait.
  await broker.loseConnections();
  assertEquals(connection.state.type, "waiting");
  await clock.advance(60_000);
  assertEquals([connection.connected, other.connected], [true, true]);
});

Deno.test("faults that cannot be are refused", async () => {
  await using broker = createTestBroker();
  const { faults } = broker;
  assertThrows(
    () => faults.refuse("publsh" as "publish"),
    OptionError,
    'did you mean "publish"?',
  );
  assertThrows(
    () => faults.lose("connect" as "publish"),
    OptionError,
    'faults.refuse("connect")',
  );
  assertThrows(() => faults.delay("ack", -1), RangeError, "0 or more");
  assertThrows(
    () => faults.refuse("ack", { call: 0 }),
    RangeError,
    '"call"',
  );
  assertThrows(
    () => faults.refuse("ack", { count: 1 } as object),
    OptionError,
    '"count"',
  );
  assertThrows(
    () => faults.refuse("ack", { error: "no" } as object),
    OptionError,
    "it must be an Error",
  );
});
