/** A newcomer who closes at the wrong moment. */

import { assert, assertEquals } from "@std/assert";
import { type ConnectionEvent, createConnection, Queue } from "../../mod.ts";
import { createTestBroker } from "@dashi/mq/testing";

const place = () => `memory://${crypto.randomUUID()}`;

Deno.test("close() drains a publish that was begun before it, though nothing was declared yet", async () => {
  const url = place();
  const queue = new Queue("jobs");
  for (const how of ["close", "dispose"]) {
    const connection = createConnection(url);
    const published = connection.producer({ declare: [queue] })
      .publish(how, { routingKey: "jobs" });
    if (how === "close") await connection.close();
    else await connection[Symbol.asyncDispose]();
    await published;
  }
  await using other = createConnection(url);
  const status = await other.declare(queue);
  assertEquals(status.messageCount, 2);
});

Deno.test("close() lets the body of a loop settle what it has in hand", async () => {
  const connection = createConnection(place());
  const queue = new Queue("jobs");
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: "jobs" });
  let closing: Promise<void> | undefined;
  let acked = false;
  for await (const message of connection.consumer(queue)) {
    closing = connection.close();
    await wait(50);
    await message.ack();
    acked = true;
  }
  await closing;
  assert(acked);
});

Deno.test("close() waits for no body that has settled its message, or has left", async () => {
  const connection = createConnection(place());
  const queue = new Queue("jobs");
  const producer = connection.producer({ declare: [queue] });
  for (const each of [1, 2]) {
    await producer.publish(each, { routingKey: "jobs" });
  }
  const events: ConnectionEvent[] = [];
  const reading = read(connection.events(), events);
  for await (const message of connection.consumer(queue)) {
    if (message.payload === 2) break; // unsettled
    await message.ack();
  }
  await connection.close(); // by the end of its drainTimeout it would say what it waits for
  await reading;
  assertEquals(events.filter(({ type }) => type === "close-waits"), []);
});

for (const what of ["connection", "consumer"]) {
  Deno.test(`close() of the ${what} in a handler does not wait for the handler, whose message is acked`, async () => {
    const name = place();
    await using other = createConnection(name);
    const queue = new Queue("jobs");
    await other.send(queue, 1);
    const events: ConnectionEvent[] = [];
    const connection = createConnection(name);
    const reading = read(connection.events(), events);
    const consumer = connection.consumer(queue);
    let isHandled = false;
    await consumer.run(async () => {
      await (what === "consumer" ? consumer : connection).close();
      isHandled = true;
    });
    await consumer.close();
    assert(isHandled);
    await connection.close();
    await reading;
    const told = ["close-waits", "handler-failed"];
    assertEquals(events.filter(({ type }) => told.includes(type)), []);
    assertEquals((await other.queue("jobs").status()).messageCount, 0);
  });
}

Deno.test("close() that a handler awaits later says what it waits for, and ends in time", async () => {
  await using broker = createTestBroker();
  const { connection, clock } = broker;
  const queue = new Queue("jobs");
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: "jobs" });
  const events: ConnectionEvent[] = [];
  const reading = read(connection.events(), events);
  const running = connection.consumer(queue).run(async () => {
    await Promise.resolve();
    await connection.close({ drainTimeout: 2000 });
  });
  await clock.advanceUntil(running, { handlers: false });
  await reading;
  const told = events.find(({ type }) => type === "close-waits");
  assert(told?.type === "close-waits");
  assertEquals([told.queues, told.handlers], [["jobs"], 1]);
  assertEquals(told.timeLeft, 1000);
});

function wait(delay: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delay));
}

async function read<T>(from: AsyncIterable<T>, into: T[]): Promise<void> {
  for await (const each of from) into.push(each);
}
