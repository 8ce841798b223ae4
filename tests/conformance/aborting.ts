import assert from "node:assert/strict";
import type { CallOptions } from "../../model/call_options.ts";
import { connect } from "./broker.ts";
import { arrives, publishing, rejectsWith, soon } from "./support.ts";
import { type ConformanceCase, onBroker, onHarness } from "./case.ts";
import { onStage } from "./stage.ts";

/** Signals and deadlines. */
export const ABORTING: readonly ConformanceCase[] = [
  onHarness(
    "connect() with an aborted signal rejects with its reason",
    async (harness) => {
      const reason = new Error("mine");
      await rejectsWithVery(
        connect(harness, { signal: AbortSignal.abort(reason) }),
        reason,
      );
    },
  ),
  onHarness(
    "connect() whose deadline has passed is timed-out",
    async (harness) => {
      await rejectsWith(
        connect(harness, { deadline: performance.now() - 1 }),
        "timed-out",
      );
    },
  ),
  onHarness("connect() that is aborted on the way settles", async (harness) => {
    const controller = new AbortController();
    const reason = new Error("mine");
    const connecting = connect(harness, { signal: controller.signal });
    controller.abort(reason);
    try {
      const connection = await arrives(connecting, "the end of connect()");
      await connection[Symbol.asyncDispose]();
    } catch (error) {
      assert.equal(error, reason);
    }
    const connection = await connect(harness);
    await connection[Symbol.asyncDispose]();
  }),
  onBroker(
    "every call with an aborted signal rejects with its very reason",
    async (broker) => {
      const queue = await broker.queue();
      const { channel } = broker;
      const reason = { why: "not even an Error" };
      const options = { signal: AbortSignal.abort(reason) };
      const calls = [
        channel.declareQueue(broker.queueOf(), options),
        channel.checkQueue(queue, options),
        channel.publish(publishing("", queue, "x"), options),
        channel.get(queue, options),
        channel.consume(queue, () => {}, { prefetch: 1, ...options }),
        broker.connection.openChannel(options),
      ];
      for (const call of calls) await rejectsWithVery(call, reason);
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker(
    "every call whose deadline has passed is timed-out, and not sent",
    async (broker) => {
      const queue = await broker.queue();
      const { channel } = broker;
      const options = { deadline: performance.now() - 1 };
      const calls = [
        channel.declareQueue(broker.queueOf(), options),
        channel.checkQueue(queue, options),
        channel.publish(publishing("", queue, "x"), options),
        channel.get(queue, options),
        channel.consume(queue, () => {}, { prefetch: 1, ...options }),
      ];
      for (const call of calls) {
        const error = await rejectsWith(call, "timed-out");
        assert.ok("outcome" in error);
        assert.equal(error.outcome, "not-sent");
      }
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker(
    "settlements that are too late to begin change nothing: the message is held still",
    async (broker) => {
      const queue = await broker.queue();
      const channel = await broker.openChannel();
      await broker.put(queue, "x");
      const delivery = await channel.get(queue, soon());
      assert.ok(delivery !== undefined);
      const { deliveryTag: tag } = delivery;
      const settlements = (options: CallOptions) => [
        channel.ack(tag, options),
        channel.ack(tag, { multiple: true, ...options }),
        channel.reject(tag, { requeue: false, ...options }),
        channel.reject(tag, { requeue: true, ...options }),
        channel.reject(tag, { requeue: true, headers: {}, ...options }),
        channel.park(tag, { headers: {}, declared: undefined, ...options }),
      ];
      for (const each of settlements({ deadline: performance.now() - 1 })) {
        const error = await rejectsWith(each, "timed-out");
        assert.ok("outcome" in error);
        assert.equal(error.outcome, "not-sent");
      }
      const reason = { why: "not even an Error" };
      for (const each of settlements({ signal: AbortSignal.abort(reason) })) {
        await rejectsWithVery(each, reason);
      }
      assert.equal(await broker.count(queue), 0); // it is held
      await channel.ack(tag, soon());
      await channel[Symbol.asyncDispose]();
      assert.equal(await broker.count(queue), 0); // nothing went back
    },
  ),
  onStage(
    "ack(), reject() and requeue() with an aborted signal leave a message unsettled",
    async ({ connection, queue }) => {
      const jobs = queue();
      await connection.send(jobs, 1);
      const handle = connection.queue<number>(jobs.name);
      const message = await handle.get();
      assert.ok(message !== undefined);
      const reason = new Error("mine");
      const options = { signal: AbortSignal.abort(reason) };
      for (
        const settle of [
          () => message.ack(options),
          () => message.reject(options),
          () => message.requeue(options),
        ]
      ) {
        await rejectsWithVery(settle(), reason);
        assert.equal(message.settled, false);
      }
      await message.ack();
      assert.equal(await handle.get(), undefined);
    },
  ),
  onBroker(
    "calls that are aborted on the way settle, and the channel is usable after",
    async (broker) => {
      const queue = await broker.queue();
      const reason = new Error("mine");
      for (let i = 0; i < 10; i++) {
        const controller = new AbortController();
        const options = { signal: controller.signal, ...soon() };
        const settled = Promise.allSettled([
          broker.channel.publish(publishing("", queue, "x"), options),
          broker.channel.checkQueue(queue, options),
        ]);
        controller.abort(reason);
        for (const result of await arrives(settled, "the end of the calls")) {
          if (result.status === "rejected") assert.equal(result.reason, reason);
        }
      }
      await broker.channel.purgeQueue(queue, soon());
      await broker.put(queue, "after");
      assert.ok((await broker.drain(queue)).includes("after"));
    },
  ),
  onBroker(
    "a signal that aborts after its call changes nothing",
    async (broker) => {
      const queue = await broker.queue();
      const controller = new AbortController();
      const { signal } = controller;
      await broker.channel.publish(publishing("", queue, "kept"), {
        signal,
        ...soon(),
      });
      const collector = await broker.consume(queue, { signal });
      await collector.next();
      controller.abort();
      await broker.put(queue, "more");
      await collector.next();
    },
  ),
  onBroker("one signal serves a thousand calls", async (broker) => {
    const queue = await broker.queue();
    const { signal } = new AbortController();
    await Promise.all(
      Array.from(
        { length: 1000 },
        () =>
          broker.channel.publish(publishing("", queue, "x"), {
            signal,
            ...soon(),
          }),
      ),
    );
    await broker.untilCount(queue, 1000);
  }),
];

async function rejectsWithVery(
  promise: Promise<unknown>,
  reason: unknown,
): Promise<void> {
  const none = Symbol();
  const found = await arrives(
    promise.then(() => none, (error: unknown) => error),
    "a rejection",
  );
  assert.equal(found, reason);
}
