import assert from "node:assert/strict";
import type { SimpleQueue } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, type Stage } from "./stage.ts";
import { arrives, rejectsWith, until } from "./support.ts";

/** Calls that wait for a message. */
export const GETTING: readonly ConformanceCase[] = [
  onStage(
    "a simple queue's get() waits for a message; getNoWait() does not",
    async (stage, harness) => {
      const { name, queue } = simple<string>(stage);
      assert.equal(await queue.getNoWait(), undefined);
      const waiting = queue.get();
      const other = open(harness);
      const putter = other.simpleQueue<string>(name);
      try {
        await consumes(stage, name);
        await putter.put("later");
        const message = await arrives(waiting, "the message");
        assert.equal(message.payload, "later");
        assert.equal(message.settled, false);
        await message.ack();
        await putter.put("sooner");
        const there = await queue.get();
        assert.equal(there.payload, "sooner");
        await there.ack();
        assert.equal(await queue.size(), 0);
      } finally {
        await other.close();
      }
      await removeExchange(stage, name);
    },
  ),
  onStage(
    "get() ends in time, or when its signal aborts, and what comes later stays in the queue",
    async (stage) => {
      const { name, queue } = simple<number>(stage);
      await rejectsWith(queue.get({ timeout: 300 }), "timed-out");
      const controller = new AbortController();
      const aborted = queue.get({ signal: controller.signal });
      const reason = new Error("enough");
      controller.abort(reason);
      await assert.rejects(aborted, reason);
      await queue.put(1);
      const message = await queue.get();
      assert.equal(message.payload, 1);
      await message.ack();
      await removeExchange(stage, name);
    },
  ),
  onStage(
    "of several who wait each gets one message, and none gets two",
    async (stage) => {
      const { name, queue } = simple<number>(stage);
      const waiting = Array.from({ length: 5 }, () => queue.get());
      for (let n = 0; n < 5; n++) await queue.put(n);
      const messages = await arrives(Promise.all(waiting), "five messages");
      const payloads = messages.map(({ payload }) => payload);
      assert.deepEqual(payloads.sort(), [0, 1, 2, 3, 4]);
      for (const message of messages) await message.ack();
      assert.equal(await queue.getNoWait(), undefined);
      await removeExchange(stage, name);
    },
  ),
  onStage(
    "a simple queue that is closed waits no more, and gives back what is unsettled",
    async (stage) => {
      const { name, queue } = simple<string>(stage);
      const waited = queue.get();
      await queue.put("unsettled");
      const message = await arrives(waited, "the message");
      const waiting = queue.get();
      const ended = rejectsWith(waiting, "use-after-close", "closed");
      await consumes(stage, name);
      assert.equal(message.signal.aborted, false);
      await queue[Symbol.asyncDispose]();
      await arrives(ended, "the end of the call that waits");
      assert.equal(message.settled, false);
      assert.equal(message.signal.reason.code, "use-after-close");
      await rejectsWith(message.ack(), "lease-lost");
      const again = stage.connection.simpleQueue<string>(name);
      const back = await again.get();
      assert.equal(back.payload, "unsettled");
      await back.ack();
      await removeExchange(stage, name);
    },
  ),
  onStage("a simple buffer waits, too", async (stage) => {
    const { name } = stage.queue();
    const buffer = stage.connection.simpleBuffer<number>(name);
    const waiting = buffer.get();
    await buffer.put(1);
    const message = await arrives(waiting, "the message");
    assert.equal(message.payload, 1);
    assert.equal(message.settled, true);
    assert.equal(await buffer.getNoWait(), undefined);
    await removeExchange(stage, name);
  }),
];

/** A simple queue, and its name. */
interface Named<T> {
  readonly name: string;
  readonly queue: SimpleQueue<T>;
}

function simple<T>({ connection, ...stage }: Stage): Named<T> {
  const { name } = stage.queue();
  return { name, queue: connection.simpleQueue<T>(name) };
}

/** Waits until a call waits at the broker; where that does not tell, it goes on. */
async function consumes({ connection }: Stage, name: string): Promise<void> {
  const handle = connection.queue(name);
  await until(
    async () => (await handle.status()).consumerCount !== 0,
    "a consumer that waits",
  );
}

async function removeExchange(
  { connection }: Stage,
  name: string,
): Promise<void> {
  const channel = await connection.channel();
  await channel.deleteExchange(name);
}
