import assert from "node:assert/strict";
import type { Connection, Message, QueueHandle } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, type Stage, take } from "./stage.ts";
import {
  arrives,
  asTheyCome,
  PATIENCE,
  rejectsWith,
  until,
} from "./support.ts";

/** Messages that are pulled, many by one call. */
export const RECEIVING: readonly ConformanceCase[] = [
  onStage(
    "receive() takes what is there, and no more than max",
    async (stage) => {
      const { handle } = await filled(stage, [1, 2, 3, 4, 5]);
      const seen: number[] = [];
      while (seen.length < 5) {
        const messages = await handle.receive({ max: 3, wait: PATIENCE });
        assert.ok(messages.length > 0 && messages.length <= 3);
        for (const message of messages) {
          seen.push(message.payload);
          await message.ack();
        }
      }
      assert.deepEqual(seen.toSorted(), [1, 2, 3, 4, 5]);
      assert.deepEqual(await handle.receive(), []);
    },
  ),
  onStage(
    "receive() fetches no more than it returns, and a handle that is closed gives that back",
    async (stage, harness) => {
      const { name, handle } = await filled(stage, [1, 2, 3, 4]);
      const held = await handle.receive({ max: 2, wait: PATIENCE });
      const other = open(harness);
      try {
        const rest = other.queue<number>(name);
        const free = await received(rest, 4 - held.length);
        await handle.close();
        const back = await received(rest, held.length);
        assert.deepEqual(numbers([...free, ...back]), [1, 2, 3, 4]);
        assert.deepEqual(numbers(back), numbers(held));
        await rejectsWith(handle.receive(), "use-after-close", "closed");
      } finally {
        await other.close();
      }
    },
  ),
  onStage(
    "receive() waits for the first message, and consumes no more when it has it",
    async (stage, harness) => {
      const { name, handle } = await filled(stage, []);
      const waiting = handle.receive({ wait: PATIENCE });
      const other = open(harness);
      try {
        const status = stage.connection.queue(name);
        const consumers = async () => (await status.status()).consumerCount;
        await until(
          async () => await consumers() !== 0,
          "a consumer that waits",
        );
        await put(other, name, [1]);
        const [message, ...more] = await arrives(waiting, "the message");
        assert.deepEqual([message?.payload, more.length], [1, 0]);
        await message?.ack();
        await put(other, name, [2]);
        const [next] = await received(other.queue<number>(name), 1);
        assert.equal(next?.payload, 2);
      } finally {
        await other.close();
      }
    },
  ),
  onStage(
    "receive() ends in time, or when its signal aborts, and leaves what comes later to others",
    async (stage, harness) => {
      const { name, handle } = await filled(stage, []);
      assert.deepEqual(await handle.receive({ wait: 200 }), []);
      const controller = new AbortController();
      const { signal } = controller;
      const aborted = handle.receive({ wait: PATIENCE, signal });
      const reason = new Error("enough");
      controller.abort(reason);
      await assert.rejects(arrives(aborted, "its end"), reason);
      const other = open(harness);
      try {
        await put(stage.connection, name, [1]);
        const [message] = await received(other.queue<number>(name), 1);
        assert.equal(message?.payload, 1);
      } finally {
        await other.close();
      }
    },
  ),
  onStage(
    "receive() that is aborted when it has some gives them back to their places",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const payloads = [1, 2, 3, 4, 5, 6, 7];
      await connection.producer({ queue }).publishAll(payloads);
      const controller = new AbortController();
      const other = open(harness);
      other.use({ receive: () => controller.abort() });
      const handle = other.queue(queue);
      // On SQS a receive may find nothing where there is something: then once more.
      const { signal } = controller;
      await until(async () => {
        await handle.receive({ max: 1000, signal }).catch((error) =>
          assert.equal(error, signal.reason)
        );
        return signal.aborted;
      }, "a message");
      const back = await take(connection.consumer(queue), payloads.length);
      const found = back.map(({ payload }) => Number(payload));
      assert.deepEqual(asTheyCome(found, harness), payloads);
      for (const each of back) await each.ack();
      await other.close();
    },
  ),
  onStage(
    "receive() of a queue that is not there says so, and does not wait",
    async ({ connection, queue }) => {
      const { name } = queue();
      await rejectsWith(
        connection.queue(name).receive({ wait: PATIENCE * 2 }),
        "not-found",
        name,
      );
    },
    { needs: ["known-queues"] },
  ),
];

interface Filled {
  readonly name: string;
  readonly handle: QueueHandle<number>;
}

async function filled(
  { connection, queue }: Stage,
  payloads: readonly number[],
): Promise<Filled> {
  const declared = queue();
  await connection.declare(declared);
  await put(connection, declared.name, payloads);
  return {
    name: declared.name,
    handle: connection.queue<number>(declared.name),
  };
}

async function put(
  connection: Connection,
  queue: string,
  payloads: readonly number[],
): Promise<void> {
  for (const payload of payloads) await connection.send(queue, payload);
}

/** Receives so many, all that there are, and acks them. */
async function received(
  handle: QueueHandle<number>,
  count: number,
): Promise<readonly Message<number>[]> {
  const all: Message<number>[] = [];
  while (all.length < count) {
    const some = await handle.receive({ max: 10, wait: PATIENCE });
    assert.ok(some.length > 0, `${count - all.length} did not come`);
    all.push(...some);
  }
  assert.equal(all.length, count);
  for (const message of all) await message.ack();
  return all;
}

function numbers(messages: readonly Message<number>[]): readonly number[] {
  return messages.map(({ payload }) => payload).toSorted();
}
