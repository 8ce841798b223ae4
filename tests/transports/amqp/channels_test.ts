import { assert, assertEquals, assertRejects } from "@std/assert";
import { ChannelError, createConnection, Queue } from "@dashi/mq";
import { inTime } from "../../conformance/support.ts";
import { test } from "../../support/amqp.ts";

const CHANNELS = 4;

function queuesOf(count: number): readonly Queue[] {
  const id = crypto.randomUUID();
  return Array.from(
    { length: count },
    (_, i) => new Queue(`dashi-channels-${id}-${i}`, { expires: 60_000 }),
  );
}

function assertFull(error: ChannelError): void {
  assertEquals(error.code, "channels-exhausted");
  assertEquals(error.retryable, true);
  assertEquals(error.outcome, "not-sent");
  assert(error.message.includes("4 of 4 are in use"), error.message);
  assert(error.message.includes("channel_max"), error.message);
}

test("a consumer without a channel is told so, and takes the first that is free", async ({ url }) => {
  await using connection = createConnection(url, {
    transportOptions: { channelMax: CHANNELS },
  });
  const queues = queuesOf(CHANNELS + 1);
  const events = connection.events()[Symbol.asyncIterator]();
  const lost: string[] = [];
  const [last, ...others] = queues;
  assert(last !== undefined);
  await connection.declare(queues);
  const producer = connection.producer<number>();
  for (const { name } of queues) {
    await producer.publish(1, { routingKey: name });
  }
  const taken = await Promise.all(others.map(async (queue) => {
    const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
    const { value } = await iterator.next();
    await value?.ack();
    return iterator;
  }));
  const starved = connection.consumer(last);
  const next = starved[Symbol.asyncIterator]();
  const arrives = next.next();
  for (;;) {
    const { value } = await events.next();
    assert(value !== undefined);
    if (value.type === "lost") lost.push(value.error.message);
    if (value.type !== "channels-exhausted") continue;
    assertEquals(value.queue, last.name);
    assert(value.error instanceof ChannelError);
    assertFull(value.error);
    break;
  }
  const { healthy, lastError } = starved.health();
  assertEquals(healthy, false);
  assert(lastError instanceof ChannelError);
  assertFull(lastError);
  await taken[0]?.return?.();
  const { value } = await arrives;
  await value?.ack();
  assertEquals(lost, []);
  await next.return?.();
  for (const each of taken) await each.return?.();
  await events.return?.();
});

test("a caller that asks for a channel when all are in use is told so at once", async ({ url }) => {
  await using connection = createConnection(url, {
    transportOptions: { channelMax: CHANNELS },
  });
  const [queue] = queuesOf(1);
  assert(queue !== undefined);
  const own = await Promise.all(
    Array.from({ length: CHANNELS }, () => connection.channel()),
  );
  assertFull(await assertRejects(() => connection.channel(), ChannelError));
  // It asks until its deadline: where the machine stands still just then, it is late.
  await inTime([1000, 1000, 2000, 6000], async (timeout) => {
    const got = connection.simpleQueue(queue).get({ timeout });
    assertFull(await assertRejects(() => got, ChannelError));
  });
  await own[0]?.[Symbol.asyncDispose]();
  await using again = await connection.channel();
  assertEquals((await again.declareQueue(queue)).name, queue.name);
  assertFull(await assertRejects(() => connection.channel(), ChannelError));
});

test("a publisher without a channel is told so", async ({ url }) => {
  await using connection = createConnection(url, {
    transportOptions: { channelMax: 1 },
  });
  const [queue] = queuesOf(1);
  assert(queue !== undefined);
  await connection.declare(queue);
  const sent = connection.producer().publish(1, { routingKey: queue.name });
  const error = await assertRejects(() => sent, ChannelError);
  assertEquals(error.code, "channels-exhausted");
  assertEquals(error.outcome, "not-sent");
});
