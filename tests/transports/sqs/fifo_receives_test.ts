/** How a FIFO queue is asked: for one message with each receive, and by several at once where there are many. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, Queue } from "@dashi/mq";
import { createTransport } from "@dashi/mq/sqs";
import type { Transport } from "@dashi/mq/transport";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import type { AwsRelay, AwsRequest } from "../../support/aws_relay.ts";
import { refusal } from "../../support/aws_relay.ts";
import { remove, test, unique } from "../../support/sqs.ts";

/** SQS on a clock that stands still, so that a busy machine's answers are quick, too. */
function quickly(): Transport {
  const transport = createTransport();
  const at = SYSTEM_CLOCK.now();
  return {
    ...transport,
    name: transport.name,
    connect: (url, options) =>
      transport.connect(url, {
        ...options,
        clock: { ...SYSTEM_CLOCK, now: () => at },
      }),
  };
}

/** Declares a FIFO queue, and publishes so many numbers, each with a key of its own. */
async function fill(connection: Connection, count: number): Promise<Queue> {
  const queue = new Queue(unique(".fifo"), { ordered: true });
  await connection.producer({ queue }).publishAll(
    Array(count).keys(),
    { each: (n) => ({ key: `key ${n}` }) },
  );
  return queue;
}

/** Whether a receive is one of several that are sent at once: those do not wait. */
function isOfSeveral({ action, body }: AwsRequest): boolean {
  return action === "ReceiveMessage" && body.WaitTimeSeconds === 0;
}

function receives(relay: AwsRelay): readonly ("one" | "several")[] {
  return relay.of("ReceiveMessage").map((each) =>
    isOfSeveral(each) ? "several" : "one"
  );
}

test("a FIFO queue that has many messages is asked by several receives at once, for no more than is wanted", async ({ open, relay }) => {
  const queue = await fill(open(), 30);
  const connection = open({ transport: quickly() });
  // Each round is let through when all of it is there.
  const rounds = [2, 4];
  let waiting: (() => void)[] = [];
  relay.intercept = async (request) => {
    if (!isOfSeveral(request) || rounds.length === 0) return undefined;
    await new Promise<void>((go) => {
      if (waiting.push(go) < (rounds[0] ?? 0)) return;
      rounds.shift();
      for (const each of waiting) each();
      waiting = [];
    });
    return undefined;
  };
  const begun = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const seen = new Set<number>();
  const consumer = connection.consumer<number>(queue);
  const running = consumer.run(async ({ payload }) => {
    if (seen.add(payload).size === 9) begun.resolve();
    await release.promise;
    if (seen.size === 30) void consumer.cancel();
  }, { concurrency: 9 });
  await begun.promise;
  // Three that wait, one after the other, then two at once, then as many as handlers are free.
  assertEquals(receives(relay), [
    ...Array(3).fill("one"),
    ...Array(2 + 4).fill("several"),
  ]);
  assert(
    relay.of("ReceiveMessage").every(({ body }) =>
      body.MaxNumberOfMessages === 1
    ),
  );
  release.resolve();
  await running;
  assertEquals(seen.size, 30);
  await remove(queue.name);
});

test("a FIFO queue that is empty again is waited for by one receive", async ({ open, relay }) => {
  const connection = open({ transport: quickly() });
  const queue = await fill(connection, 40);
  const consumer = connection.consumer<number>(queue);
  const done = Promise.withResolvers<void>();
  let count = 0;
  const running = consumer.run(() => {
    if (++count === 40) done.resolve();
  }, { concurrency: 20 });
  await done.promise;
  assert(receives(relay).includes("several"));
  const ones = () => receives(relay).filter((each) => each === "one").length;
  const before = ones();
  while (ones() < before + 3) {
    await relay.until("ReceiveMessage", relay.of("ReceiveMessage").length + 1);
  }
  // The first of them may be about to have the last message.
  assertEquals(receives(relay).slice(-2), ["one", "one"]);
  await consumer.cancel();
  await running;
  await remove(queue.name);
});

test("where SQS refuses several receives at once as too many, a FIFO queue is consumed one by one", async ({ open, relay }) => {
  const queue = await fill(open(), 12);
  const connection = open({ transport: quickly(), reconnect: false });
  relay.intercept = (request) =>
    isOfSeveral(request) ? refusal(400, "RequestThrottled") : undefined;
  const seen = new Set<number>();
  const consumer = connection.consumer<number>(queue);
  await consumer.run(({ payload }) => {
    if (seen.add(payload).size === 12) void consumer.cancel();
  }, { concurrency: 20 });
  assert(receives(relay).includes("several"));
  assertEquals(seen.size, 12);
  await remove(queue.name);
});

test("messages that several receives bring when nobody wants them any more are given back at once", async ({ open, relay }) => {
  const queue = await fill(open(), 5);
  const connection = open({ transport: quickly() });
  const held = Promise.withResolvers<void>();
  const holding = Promise.withResolvers<void>();
  let several = 0;
  relay.intercept = async (request) => {
    if (!isOfSeveral(request)) return undefined;
    if (++several === 2) holding.resolve();
    await held.promise;
    return undefined;
  };
  const consumer = connection.consumer<number>(queue);
  const seen: number[] = [];
  const running = consumer.run(({ payload }) => {
    seen.push(payload);
  }, { concurrency: 9 });
  await holding.promise;
  await consumer.cancel();
  await running;
  held.resolve();
  await connection.close();
  assertEquals(seen.length, 3);
  relay.intercept = () => undefined;
  const other = open();
  const rest = other.consumer<number>(queue);
  await rest.run(({ payload }) => {
    if (seen.push(payload) === 5) void rest.cancel();
  });
  assertEquals(seen.sort(), [0, 1, 2, 3, 4]);
  await remove(queue.name);
});
