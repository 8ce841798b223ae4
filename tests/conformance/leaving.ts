import assert from "node:assert/strict";
import type { Message, Queue } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, type Stage, take } from "./stage.ts";
import { arrives, asTheyCome } from "./support.ts";

const COUNT = 30;

/** A queue with so many messages. */
async function filled(stage: Stage): Promise<string> {
  const queue = stage.queue();
  const producer = stage.connection.producer({ declare: [queue] });
  for (let n = 0; n < COUNT; n++) {
    await producer.publish(n, { routingKey: queue.name });
  }
  return queue.name;
}

/** Takes the messages that are left in a queue, and acks them. */
async function rest(
  { connection }: Stage,
  queue: string,
  count: number,
): Promise<readonly unknown[]> {
  const messages = await take(connection.consumer(queue), count);
  await Promise.all(messages.map((each) => each.ack()));
  return messages.map(({ payload }) => payload);
}

function numbers(from: number): readonly number[] {
  return Array.from({ length: COUNT - from }, (_, n) => from + n);
}

/** Leaving a consumer: nothing is handed over after it, and nothing is lost. */
export const LEAVING: readonly ConformanceCase[] = [
  onStage(
    "after abort() a loop that takes one message after the other gets no more",
    async (stage) => {
      const queue = await filled(stage);
      const abort = new AbortController();
      const reason = new Error("enough");
      const got: Message<unknown>[] = [];
      const consumer = stage.connection.consumer(queue, {
        signal: abort.signal,
      });
      const error = await (async () => {
        for await (const message of consumer) {
          got.push(message);
          if (got.length === 5) abort.abort(reason);
        }
      })().catch((error) => error);
      assert.equal(error, reason);
      assert.equal(got.length, 5);
      await Promise.all(got.map((each) => each.ack()));
      // It does not say when all is back: a part of it may come behind the rest.
      const left = await rest(stage, queue, COUNT - 5);
      assert.deepEqual(
        left.toSorted((a, b) => Number(a) - Number(b)),
        numbers(5),
      );
    },
    { ordered: true },
  ),
  onStage(
    "after cancel() a loop that takes one message after the other gets no more",
    async (stage, harness) => {
      const queue = await filled(stage);
      const got: Message<unknown>[] = [];
      const consumer = stage.connection.consumer(queue);
      let cancelled: Promise<void> | undefined;
      for await (const message of consumer) {
        got.push(message);
        if (got.length === 5) cancelled = consumer.cancel();
      }
      await cancelled;
      assert.equal(got.length, 5);
      await Promise.all(got.map((each) => each.ack()));
      assert.deepEqual(
        asTheyCome(await rest(stage, queue, COUNT - 5), harness),
        asTheyCome(numbers(5), harness),
      );
    },
    { ordered: true },
  ),
  onStage(
    "leaving a loop with autoAck loses nothing that was not handed over",
    async (stage, harness) => {
      const queue = await filled(stage);
      const consumer = stage.connection.consumer(queue, {
        autoAck: true,
        prefetch: 20,
      });
      const got = await take(consumer, 5);
      assert.deepEqual(got.map(({ settled }) => settled), got.map(() => true));
      const left = await rest(stage, queue, COUNT - 5);
      assert.deepEqual(
        asTheyCome([...got.map(({ payload }) => payload), ...left], harness),
        asTheyCome(numbers(0), harness),
      );
    },
    { ordered: true },
  ),
  onStage(
    "a consumer with autoAck that is slow leaves the rest to others",
    async (stage) => {
      const queue = await filled(stage);
      const slow = stage.connection.consumer(queue, {
        autoAck: true,
        prefetch: 5,
      });
      const iterator = slow[Symbol.asyncIterator]();
      const { value: own } = await iterator.next();
      const others = await take(stage.connection.consumer(queue), COUNT - 6);
      await Promise.all(others.map((each) => each.ack()));
      await iterator.return?.();
      const left = await rest(stage, queue, 5);
      const all = [own, ...others].map((each) => each?.payload).concat(left);
      assert.deepEqual(
        all.toSorted((a, b) => Number(a) - Number(b)),
        numbers(0),
      );
    },
  ),
  onStage(
    "one of two consumers ends, the other goes on, and ends in its turn",
    async (stage) => {
      const { connection } = stage;
      const handled = new Map<unknown, () => void>();
      const work = async (queue: Queue, payload: number) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        handled.set(payload, resolve);
        await connection.send(queue, payload);
        await arrives(promise, `message ${payload}`);
      };
      const begin = async (payload: number) => {
        const queue = stage.queue();
        await connection.declare(queue);
        const ending = new AbortController();
        const { signal } = ending;
        const running = connection.consumer(queue)
          .run((message) => handled.get(message.payload)?.(), { signal });
        await work(queue, payload);
        const end = async () => {
          ending.abort();
          await running;
        };
        return { queue, end };
      };
      const [first, second] = [await begin(1), await begin(2)];
      await first.end();
      await work(second.queue, 3);
      await work(second.queue, 4);
      await second.end();
      await connection.send(second.queue, 5);
      const [left] = await take(connection.consumer(second.queue), 1);
      assert.equal(left?.payload, 5);
      await left?.ack();
    },
  ),
];
