import assert from "node:assert/strict";
import type { Middleware } from "../../mod.ts";
import { failedQueue } from "../../virtual/mod.ts";
import type { ConformanceCase } from "./case.ts";
import { heard, runs } from "./hooks.ts";
import { onStage, open } from "./stage.ts";
import { arrives, until } from "./support.ts";

/** Lets a name be seen in the order of hooks. */
function named(name: string, seen: string[]): Middleware {
  return {
    publish(_, next) {
      seen.push(`publish ${name}`);
      return next();
    },
    receive: () => void seen.push(`receive ${name}`),
    process(_, next) {
      seen.push(`process ${name}`);
      return next();
    },
    settle({ action }, next) {
      seen.push(`${action} ${name}`);
      return next();
    },
  };
}

/** Middlewares around handlers and settlements. */
export const HOOKING_HANDLERS: readonly ConformanceCase[] = [
  onStage(
    "the middleware that was used first is the outermost, and one that is used later sees the next call",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const seen: string[] = [];
      const producer = connection.producer({ queue });
      await producer.publish("before");
      connection.use(named("a", seen)).use(named("b", seen));
      await producer.publish("after");
      let count = 0;
      await runs({ connection }, queue, () => void count++, () => count === 2);
      const one = [
        "receive b",
        "receive a",
        "process a",
        "process b",
        "ack a",
        "ack b",
      ];
      const settled = seen.filter((each) => each.startsWith("ack"));
      assert.deepEqual(seen.slice(0, 2), ["publish a", "publish b"]);
      assert.deepEqual(settled, ["ack a", "ack b", "ack a", "ack b"]);
      const rest = seen.slice(2).filter((each) => !each.startsWith("ack"));
      assert.deepEqual(
        rest,
        [...one.slice(0, 4), ...one.slice(0, 4)],
      );
    },
  ),
  onStage(
    "a middleware sees each settlement, the errors of retries and parking with it, and undoes none",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, failedQueue(queue.name));
      const seen: unknown[] = [];
      const failures = heard(connection, "middleware-failed");
      connection.use({
        async settle({ action, message, error, attempt }, next) {
          await undefined; // so that it is sent later than it is settled
          const open = seen.push([
            action,
            message.payload,
            ...(error === undefined ? [] : [error.message]),
            ...(attempt === undefined ? [] : [attempt]),
          ]);
          await next();
          if (action === "ack") throw new RangeError(`after ${open}`);
        },
      });
      const send = (text: string) => connection.send(queue, text);
      await send("done");
      let calls = 0;
      await runs({ connection }, queue, () => void calls++, () => calls === 1);
      assert.deepEqual(seen.splice(0), [["ack", "done"]]);
      await until(() => failures.length === 1, "the event");
      await send("bad");
      const parked = heard(connection, "parked");
      await runs({ connection }, queue, () => {
        throw new Error("bad luck");
      }, () => parked.length === 1);
      assert.deepEqual(seen.splice(0), [
        ["retry", "bad", "bad luck", 2],
        ["retry", "bad", "bad luck", 3],
        ["park", "bad", "bad luck"],
      ]);
      await send("rejected");
      await send("put back");
      let again = false;
      const consumer = connection.consumer<string>(queue);
      for await (const message of consumer) {
        if (message.payload === "rejected") await message.reject();
        else if (again) await message.ack(); // the second time
        else {
          again = true;
          await message.requeue();
        }
        if (seen.length === 3) break;
      }
      await consumer.close();
      assert.deepEqual(
        seen.map((each) => String(each)).toSorted(),
        ["ack,put back", "reject,rejected", "requeue,put back"],
      );
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "a middleware is told of no retry where a message that was delivered before is tried for the first time",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.send(queue, "left");
      const other = open(harness);
      await until(
        async () => await other.queue(queue.name).get() !== undefined,
        "a message",
      );
      await other.close();
      const seen: string[] = [];
      connection.use({
        settle({ action }, next) {
          seen.push(action);
          return next();
        },
      });
      let calls = 0;
      await runs({ connection }, queue, () => void calls++, () => calls === 1);
      // Some brokers count deliveries, and on others the message is written again for it.
      assert.deepEqual(seen.filter((each) => each !== "requeue"), ["ack"]);
    },
  ),
  onStage(
    "a handler that its middleware does not await is waited for, and its error is the message's",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, failedQueue(queue.name));
      connection.use({ process: (_, next) => void next() });
      connection.use({
        async process(_, next) {
          await undefined;
          void next();
        },
      });
      await connection.send(queue, "slow");
      const parked = heard(connection, "parked");
      let calls = 0;
      await runs({ connection }, queue, async () => {
        calls++;
        await new Promise((resolve) => setTimeout(resolve, 20));
        throw new Error("late");
      }, () => parked.length === 1);
      assert.equal(calls, 3); // of the attempts that the case has
      const [failed] = parked;
      assert.ok(failed?.type === "parked");
      assert.equal(failed.error?.message, "late");
    },
  ),
  onStage(
    "a middleware is called around each call of a handler, and once around a batch",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const seen: unknown[] = [];
      connection.use({
        async process({ payload, attempt }, next) {
          seen.push(["begin", payload, attempt]);
          try {
            await next();
          } catch (error) {
            seen.push(["failed", payload]);
            throw error;
          }
        },
        async processBatch(messages, next) {
          seen.push(["batch", messages.length]);
          await next();
        },
      });
      await connection.send(queue, "a");
      let calls = 0;
      await runs({ connection }, queue, () => {
        if (++calls === 1) throw new Error("the case wants it again");
      }, () => calls === 2);
      assert.deepEqual(seen.splice(0), [
        ["begin", "a", 1],
        ["failed", "a"],
        ["begin", "a", 2],
      ]);
      await connection.send(queue, "b");
      await connection.send(queue, "c");
      const consumer = connection.consumer(queue);
      await arrives(
        consumer.runBatches(() => void consumer.cancel(), {
          size: 2,
          wait: 60_000,
        }),
        "the end of runBatches()",
      );
      assert.deepEqual(seen, [["batch", 2]]);
    },
  ),
  onStage(
    "a middleware that has no hook for batches is called for each message of one",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const seen: unknown[] = [];
      connection.use({
        async process({ payload }, next) {
          seen.push(["begin", payload]);
          await next();
          seen.push(["end", payload]);
        },
      });
      for (const payload of ["a", "b", "c"]) {
        await connection.send(queue, payload);
      }
      const consumer = connection.consumer<string>(queue);
      const got: string[] = [];
      await arrives(
        consumer.runBatches((messages) => {
          seen.push(["batch", messages.length]);
          got.push(...messages.map(({ payload }) => payload));
          void consumer.cancel();
        }, { size: 3, wait: 60_000 }),
        "the end of runBatches()",
      );
      assert.deepEqual(seen, [
        ...got.map((each) => ["begin", each]),
        ["batch", 3],
        ...got.toReversed().map((each) => ["end", each]),
      ]);
    },
  ),
];
