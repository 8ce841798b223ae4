/** Middlewares that see what becomes of messages: settlements, and calls that received nothing. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue, TimeoutError } from "@dashi/mq";
import { createTestBroker } from "@dashi/mq/testing";
import { until } from "../../conformance/support.ts";
import { turns } from "../../support/stores.ts";

const open = () => createConnection(`memory://${crypto.randomUUID()}`);

Deno.test("settlements that a middleware takes its time for have left before their consumer is closed", async () => {
  await using connection = open();
  const queue = new Queue<number>("late");
  const gates = [1, 2].map(() => Promise.withResolvers<void>());
  connection.use({
    async settle({ message }, next) {
      await gates[Number(message.payload) - 1]?.promise;
      await next();
    },
  });
  for (const payload of [1, 2]) await connection.send(queue, payload);
  const consumer = connection.consumer(queue);
  const messages = consumer[Symbol.asyncIterator]();
  for (const _ of gates) void (await messages.next()).value?.ack();
  let isClosed = false;
  const closing = consumer.close().then(() => isClosed = true);
  for (const { resolve } of gates.toReversed()) {
    await turns();
    assertEquals(isClosed, false);
    resolve();
  }
  await closing;
  const { messageCount } = await connection.declare(queue);
  assertEquals(messageCount, 0);
});

Deno.test("a settlement that a middleware keeps fails in its time, and is not sent later", async () => {
  await using broker = createTestBroker();
  await using connection = createConnection(broker.url);
  const queue = new Queue("kept");
  const gate = Promise.withResolvers<void>();
  const later: Promise<unknown>[] = [];
  connection.use({
    async settle(_, next) {
      await gate.promise;
      const passing = next();
      later.push(passing.catch((error) => error));
      await passing;
    },
  });
  await connection.send(queue, 1);
  const consumer = connection.consumer(queue);
  const { value: message } = await consumer[Symbol.asyncIterator]().next();
  assert(message !== undefined);
  const kept = async (
    action: string,
    settling: Promise<void>,
    timeout: number,
  ) => {
    const failing = assertRejects(
      () => settling,
      TimeoutError,
      `Cannot ${action} a message of queue "kept" in time`,
    );
    await broker.clock.advance(timeout);
    await failing;
    assertEquals(message.settled, false);
  };
  await kept("ack", message.ack(), 30_000);
  await kept("ack", message.ack({ timeout: 500 }), 500);
  await kept("reject", message.reject({ timeout: 500 }), 500);
  await kept("requeue", message.requeue({ timeout: 500 }), 500);
  await kept("requeue", message.requeue({ delay: 9, timeout: 500 }), 500);
  const aborted = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => message.ack({ signal: aborted }), Error, "enough");
  gate.resolve();
  await until(() => later.length === 6, "all that were kept");
  for (const each of await Promise.all(later)) assert(each instanceof Error);
  assertEquals((await connection.inspect().queue(queue)).unacked, 1);
  await message.ack();
  assertEquals((await connection.inspect().queue(queue)).unacked, 0);
});

Deno.test("a settlement that a middleware has passed on, and does not end, is done in its time", async () => {
  await using broker = createTestBroker();
  const failed = Promise.withResolvers<Error>();
  await using connection = createConnection(broker.url, {
    onUnhandled(event) {
      if (event.type === "middleware-failed") failed.resolve(event.error);
    },
  });
  const queue = new Queue("endless");
  const never = new Promise<void>(() => {});
  connection.use({
    async settle(_, next) {
      await next();
      await never;
    },
  });
  await connection.send(queue, 1);
  const message = await connection.queue(queue).get();
  const acking = message?.ack();
  await broker.clock.advance(30_000);
  await acking;
  assert(await failed.promise instanceof TimeoutError);
  assertEquals((await connection.inspect().queue(queue)).unacked, 0);
});

Deno.test("receivedNothing hears of each call that found nothing, and what it throws changes nothing", async () => {
  const failed: string[] = [];
  await using connection = createConnection("memory://nothing", {
    onUnhandled(event) {
      if (event.type === "middleware-failed") failed.push(event.hook);
    },
  });
  const heard: unknown[] = [];
  connection.use({
    receivedNothing({ queue, error }) {
      heard.push([queue, error?.constructor]);
      throw new Error("the test says so");
    },
  });
  const queue = new Queue("jobs");
  await connection.declare(queue);
  const jobs = connection.queue(queue);
  assertEquals(await jobs.get(), undefined);
  assertEquals(await jobs.receive(), []);
  await using simple = connection.simpleQueue(queue);
  await assertRejects(() => simple.get({ timeout: 20 }), TimeoutError);
  await connection.send(queue, 1);
  assertEquals((await jobs.receive()).length, 1);
  assertEquals(heard, [
    ["jobs", undefined],
    ["jobs", undefined],
    ["jobs", TimeoutError],
  ]);
  assertEquals(failed, new Array(3).fill("receivedNothing"));
});

Deno.test("a settlement of one message is told as that of one, whatever becomes of it", async () => {
  await using connection = open();
  const queue = new Queue("one");
  const told: unknown[] = [];
  connection.use({
    settle({ action, multiple }, next) {
      told.push([action, multiple]);
      return next();
    },
  });
  await connection.send(queue, 1);
  const handle = connection.queue("one");
  await (await handle.get())?.requeue();
  await (await handle.get())?.reject();
  await connection.send(queue, 2);
  await (await handle.get())?.ack();
  assertEquals(told, [["requeue", false], ["reject", false], ["ack", false]]);
});
