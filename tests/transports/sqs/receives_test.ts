/** SQS counts how often a message was received, and moves it when that was too often: nothing is received that nobody begins with. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { type SqsStage, test, unique, url } from "../../support/sqs.ts";

interface Scene {
  readonly queue: Queue;
  readonly dead: Queue;
  readonly names: readonly number[];
  /** A connection of a worker that is started anew. */
  worker(): Connection;
}

/** A queue with so many messages, whose messages may be received so often before SQS moves them. */
async function scene(
  open: SqsStage["open"],
  maxReceiveCount: number,
  count: number,
): Promise<Scene> {
  const dead = new Queue(unique());
  const queue = new Queue(unique());
  await open().declare(dead);
  const setUp = open({
    transportOptions: {
      queueAttributes: {
        RedrivePolicy: JSON.stringify({
          deadLetterTargetArn:
            `arn:aws:sqs:us-east-1:000000000000:${dead.name}`,
          maxReceiveCount,
        }),
      },
    },
  });
  const producer = setUp.producer<number>({ declare: [queue] });
  const names = Array.from({ length: count }, (_, i) => i);
  for (const i of names) await producer.publish(i, { routingKey: queue.name });
  return { queue, dead, names, worker: () => open() };
}

/** Nothing is in the dead letter queue, even when somebody asks for what is left. */
async function assertNoneDead({ queue, dead }: Scene): Promise<void> {
  await using connection = createConnection(url);
  const status = await connection.declare(dead);
  assertEquals(status.messageCount, 0);
  const channel = await connection.channel();
  for (const each of [queue, dead]) await channel.deleteQueue(each.name);
}

function sorted(seen: Iterable<number>): readonly number[] {
  return [...seen].sort((a, b) => a - b);
}

for (const concurrency of [1, 3]) {
  test(`messages that no handler was called with are not received: run, concurrency ${concurrency}, workers that are started anew`, async ({ open }) => {
    const stage = await scene(open, 1, 8);
    const seen: number[] = [];
    while (seen.length < stage.names.length) {
      const worker = stage.worker();
      const consumer = worker.consumer<number>(stage.queue);
      const { promise: begun, resolve } = Promise.withResolvers<void>();
      const running = consumer.run(async ({ payload }) => {
        seen.push(payload);
        // All of them are at work when the worker is stopped.
        if (seen.length % concurrency === 0) resolve();
        if (seen.length === stage.names.length) resolve();
        await begun;
      }, { concurrency });
      await begun;
      await worker.close();
      await running;
    }
    assertEquals(sorted(seen), stage.names);
    await assertNoneDead(stage);
  });
}

test("messages that no handler was called with are not received: for await that is left again and again", async ({ open }) => {
  const stage = await scene(open, 1, 6);
  const seen: number[] = [];
  const connection = stage.worker();
  while (seen.length < stage.names.length) {
    for await (const message of connection.consumer<number>(stage.queue)) {
      seen.push(message.payload);
      await message.ack();
      break;
    }
  }
  assertEquals(sorted(seen), stage.names);
  await assertNoneDead(stage);
});

test("messages that no handler was called with are not received: a simple queue", async ({ open }) => {
  const stage = await scene(open, 1, 4);
  const seen: number[] = [];
  while (seen.length < stage.names.length) {
    const worker = stage.worker();
    const simple = worker.simpleQueue<number>(stage.queue);
    const message = await simple.getNoWait();
    if (message !== undefined) {
      seen.push(message.payload);
      await message.ack();
    }
    await worker.close();
  }
  assertEquals(sorted(seen), stage.names);
  await assertNoneDead(stage);
});

test("two consumers of a connection share what they would begin with", async ({ open, relay }) => {
  const stage = await scene(open, 1, 2);
  const worker = stage.worker();
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const seen: number[] = [];
  const running = [0, 1].map(() =>
    worker.consumer<number>(stage.queue).run(async ({ payload }) => {
      seen.push(payload);
      if (seen.length === 2) resolve();
      await done;
    })
  );
  await done;
  assert(
    relay.of("ReceiveMessage").every(({ body }) =>
      Number(body.MaxNumberOfMessages) <= 2
    ),
  );
  await worker.close();
  await Promise.all(running);
  assertEquals(sorted(seen), stage.names);
  await assertNoneDead(stage);
});

test("a consumer at work on all that it takes is healthy, though nothing is asked for", async ({ open, relay }) => {
  const stage = await scene(open, 2, 1);
  const worker = stage.worker();
  const consumer = worker.consumer<number>(stage.queue);
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const running = consumer.run(() => {
    begin();
    return done;
  });
  await begun;
  const asked = relay.of("ReceiveMessage").length;
  await new Promise((later) => setTimeout(later, 2500)); // over twice as long as a receive waits
  assertEquals(relay.of("ReceiveMessage").length, asked);
  assert(consumer.health().healthy);
  resolve();
  await relay.until("ReceiveMessage", asked + 1);
  await worker.close();
  await running;
  await assertNoneDead(stage);
});
