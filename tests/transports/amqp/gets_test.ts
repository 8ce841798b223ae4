/** Messages that are asked for one by one: the questions leave together. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { test } from "../../support/amqp.ts";
import { Proxy } from "../../support/proxy.ts";

/** A method's frame, up to its number: `basic.get`, `get-ok` and `get-empty` have one byte that tells them apart. */
const BASIC = 60;
const [GET, GET_OK, GET_EMPTY] = [70, 71, 72];

/** Counts the frames of some methods of `basic` in what came in one piece. */
function count(bytes: Uint8Array, methods: readonly number[]): number {
  let found = 0;
  for (let i = 0; i + 11 <= bytes.length; i++) {
    const isMethod = bytes[i] === 1 && bytes[i + 3] === 0 &&
      bytes[i + 7] === 0 && bytes[i + 8] === BASIC && bytes[i + 9] === 0;
    if (isMethod && methods.includes(bytes[i + 10] ?? 0)) found++;
  }
  return found;
}

/** The most calls of `get` that have waited for their answer at once. */
function watch(proxy: Proxy): { most: number } {
  const seen = { most: 0 };
  let waiting = 0;
  proxy.onSent = (bytes) => {
    waiting += count(bytes, [GET]);
    seen.most = Math.max(seen.most, waiting);
  };
  proxy.onAnswer = (bytes) => {
    waiting -= count(bytes, [GET_OK, GET_EMPTY]);
  };
  return seen;
}

const name = () => `dashi-gets-${crypto.randomUUID()}`;

test("a hundred messages are asked for at once, and come in order", async ({ url }) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url));
  const jobs = new Queue<number>(name(), { expires: 60_000 });
  const producer = connection.producer({ queue: jobs });
  await producer.publishAll(Array.from({ length: 100 }, (_, i) => i));
  const seen = watch(proxy);
  const messages = await connection.queue<number>(jobs).receive({ max: 100 });
  assertEquals(
    messages.map(({ payload }) => payload),
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert(seen.most >= 50, `${seen.most} at once`);
  for (const each of messages) await each.ack();
  await connection.delete(jobs);
});

test("of large messages few are asked for at once", async ({ url }) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url));
  const jobs = new Queue<Uint8Array>(name(), { expires: 60_000 });
  const body = new Uint8Array(2 ** 20).fill(255);
  for (let i = 0; i < 12; i++) await connection.send(jobs, body);
  const seen = watch(proxy);
  const messages = await connection.queue(jobs).receive({ max: 12 });
  assertEquals(messages.length, 12);
  assert(seen.most <= 4, `${seen.most} at once`);
  for (const each of messages) await each.ack();
  await connection.delete(jobs);
});

test("calls of other kinds between those of get have their own answers", async ({ url }) => {
  await using connection = createConnection(url);
  const jobs = new Queue<number>(name(), { expires: 60_000 });
  const producer = connection.producer({ queue: jobs });
  await producer.publishAll([1, 2, 3]);
  await using channel = await connection.channel();
  const get = () => channel.get(jobs.name, { noAck: true });
  for (let round = 0; round < 2; round++) {
    const [first, second, status, third, exchange, none] = await Promise.all([
      get(),
      get(),
      channel.checkQueue(jobs.name),
      get(),
      channel.checkExchange("amq.topic"),
      get(),
    ]);
    const bodies = [first, second, third].map((each) =>
      each && new TextDecoder().decode(each.body)
    );
    assertEquals(
      bodies,
      round === 0 ? ["1", "2", "3"] : [undefined, undefined, undefined],
    );
    assertEquals(status.messageCount, round === 0 ? 1 : 0);
    assertEquals([exchange, none], [undefined, undefined]);
  }
  await connection.delete(jobs);
});

test("a queue that is not there fails each call of a burst, and the next call works", async ({ url }) => {
  await using connection = createConnection(url);
  const jobs = new Queue<number>(name(), { expires: 60_000 });
  await connection.send(jobs, 1);
  const channel = await connection.channel();
  const results = await Promise.allSettled(
    Array.from({ length: 5 }, () => channel.get(name())),
  );
  assertEquals(
    results.map(({ status }) => status),
    new Array(5).fill("rejected"),
  );
  const [message] = await connection.queue<number>(jobs).receive({ max: 9 });
  assertEquals(message?.payload, 1);
  await message?.ack();
  await connection.delete(jobs);
});

test("a dead letter whose body is too large to be kept stays, and the others are redriven", async ({ url }) => {
  await using connection = createConnection(url);
  const dead = new Queue(name(), { expires: 60_000 });
  const jobs = new Queue(name(), { expires: 60_000 });
  await connection.declare([dead, jobs]);
  await connection.send(dead, new Uint8Array(3 * 2 ** 20), {
    messageId: "large",
  });
  await connection.send(dead, "small", { messageId: "small" });
  await using other = createConnection(url, { maxResponseSize: 2 ** 20 });
  const redriven = await other.redrive(dead.name, {
    to: jobs.name,
    filter: ({ properties }) => properties.messageId !== "large",
  });
  assertEquals(redriven, { moved: 1, kept: 0 });
  const left = await connection.queue(dead).peek();
  assertEquals(left.map(({ properties }) => properties.messageId), ["large"]);
  for (const each of [dead, jobs]) await connection.delete(each);
});
