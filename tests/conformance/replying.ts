import assert from "node:assert/strict";
import {
  type Connection,
  Queue,
  RemoteError,
  type ServeHandler,
  type ServeOptions,
} from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open } from "./stage.ts";
import { arrives, inTime, PATIENCE, rejectsWith, until } from "./support.ts";

/** Requests and their answers. */
export const REPLYING: readonly ConformanceCase[] = [
  onStage(
    "a request is answered with what the handler returns, by a queue's name or through an exchange",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "topic" });
      const queue = stage.queue({ exchange, routingKey: "sum.#" });
      await connection.declare(queue);
      await serving(connection, queue, ({ payload, properties }) => {
        if (payload === "nothing") return undefined;
        return { got: payload, type: properties.type };
      }, async (asking) => {
        assert.deepEqual(
          await asking.request({ n: 1 }, {
            routingKey: queue.name,
            type: "sum",
          }),
          { got: { n: 1 }, type: "sum" },
        );
        assert.deepEqual(
          await asking.request([2], {
            exchange,
            routingKey: "sum.up",
            declare: [queue],
          }),
          { got: [2] },
        );
        assert.equal(
          await asking.request("nothing", { routingKey: queue.name }),
          null,
        );
        assert.deepEqual(
          await asking.request(3, {
            routingKey: queue.name,
            schema: (answer) => JSON.stringify(answer),
          }),
          '{"got":3}',
        );
      });
      await empties(connection, queue);
    },
  ),
  onStage(
    "an error of the handler is the answer, with its name, message and code and without its stack, and the request is acked",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      let calls = 0;
      const refuseOrder = () => {
        calls++;
        const error = new RangeError("no such order");
        throw Object.assign(error, { code: "E_ORDER" });
      };
      await serving(connection, queue, refuseOrder, async (asking) => {
        const error = await rejectsWith(
          asking.request(1, { routingKey: queue.name }),
          "remote-failed",
          "no such order",
        );
        assert.ok(error instanceof RemoteError);
        assert.equal(error.message, "no such order");
        assert.equal(error.remoteName, "RangeError");
        assert.equal(error.remoteCode, "E_ORDER");
        assert.equal(error.cause, undefined);
        assert.ok(!error.stack?.includes("refuseOrder"), "a stack of others");
        assert.equal(calls, 1);
      });
      await empties(connection, queue);
    },
  ),
  onStage(
    "requests at once are answered out of order, each with its own answer",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const COUNT = 20;
      const waiting: (() => void)[] = [];
      const handler: ServeHandler<unknown, unknown> = async ({ payload }) => {
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
          if (waiting.length < COUNT) return;
          for (const answer of waiting.splice(0).reverse()) answer();
        });
        return payload;
      };
      await serving(connection, queue, handler, async (asking) => {
        const numbers = Array.from({ length: COUNT }, (_, i) => i);
        const answers = await Promise.all(
          numbers.map((n) => asking.request(n, { routingKey: queue.name })),
        );
        assert.deepEqual(answers, numbers);
        assert.equal(asking.health().requests.waiting, 0);
      }, { concurrency: COUNT });
    },
  ),
  onStage(
    "a request that may wait for longer than any message is answered, and its handler knows of no deadline that has passed",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const handler: ServeHandler<unknown, unknown> = (
        _,
        { deadline, signal },
      ) => [
        deadline === undefined || deadline.getTime() > Date.now(),
        signal.aborted,
      ];
      await serving(connection, queue, handler, async (asking) => {
        for (const timeout of [Number.MAX_SAFE_INTEGER, 1e300, Infinity]) {
          const answer = await asking.request(1, {
            routingKey: queue.name,
            timeout,
          });
          assert.deepEqual(answer, [true, false], `${timeout}`);
        }
      });
      await empties(connection, queue);
    },
  ),
  onStage(
    "a request to a queue that is not there rejects, and names the nearest",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      await rejectsWith(
        connection.request(1, { routingKey: `${queue.name}x` }),
        "message-unroutable",
        `"${queue.name}x"`,
        `did you mean "${queue.name}"?`,
      );
    },
    { needs: ["known-queues"] },
  ),
  onStage(
    "a request that nobody answers ends with its deadline, and its handler is not called later",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      await inTime([1000, 8000], async (timeout) => {
        const asking = connection.request("late", {
          routingKey: queue.name,
          timeout,
        });
        const error = await rejectsWith(asking, "timed-out", queue.name);
        assert.ok("outcome" in error && error.outcome === "unknown");
      });
      const seen: unknown[] = [];
      const handler: ServeHandler<unknown, void> = ({ payload }) => {
        seen.push(payload);
      };
      await serving(connection, queue, handler, async (other) => {
        await other.request("in time", { routingKey: queue.name });
      });
      assert.deepEqual(seen, ["in time"]);
    },
  ),
  onStage(
    "an answer that comes too late is dropped and counted, and the handler's signal has aborted",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const asking = open(harness);
      const gone = Promise.withResolvers<void>();
      let isHandled = false;
      // An error here would be another answer that comes too late.
      const told: unknown[] = [];
      const handler: ServeHandler<unknown, string> = async (_, context) => {
        isHandled = true;
        const { signal, deadline } = context;
        if (!signal.aborted) {
          await arrives(
            new Promise((resolve) => signal.addEventListener("abort", resolve)),
            "the deadline",
          ).catch(() => {});
        }
        told.push([deadline === undefined, signal.aborted]);
        await gone.promise;
        return "too late";
      };
      try {
        await serving(connection, queue, handler, async () => {
          await inTime([2000, 8000], async (timeout) => {
            const routingKey = queue.name;
            const late = asking.request(1, { routingKey, timeout });
            await rejectsWith(late, "timed-out");
            assert.ok(isHandled, "its handler was not called");
          });
          gone.resolve();
          await until(
            () => asking.health().requests.lateReplies > 0,
            "the late answer",
          );
          assert.deepEqual(told[0], [false, true]);
        });
      } finally {
        await asking.close();
      }
    },
  ),
  onStage(
    "an answer to a queue that is not there is counted, and its request is not handled again",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      let calls = 0;
      const handler = () => void calls++;
      await serving(connection, queue, handler, async (asking) => {
        await asking.producer().publish(1, {
          routingKey: queue.name,
          replyTo: `dashi.reply.${crypto.randomUUID()}`,
        });
        await until(
          () => connection.health().requests.undeliveredReplies === 1,
          "the count of the answer",
        );
        await asking.request(2, { routingKey: queue.name });
      });
      assert.equal(calls, 2);
      await empties(connection, queue);
    },
    { needs: ["known-queues"] },
  ),
  onStage(
    "an object that is thrown, as many clients throw them, is answered with its name, message and code",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const handler: ServeHandler<unknown, never> = ({ payload }) => {
        throw payload;
      };
      await serving(connection, queue, handler, async (asking) => {
        for (
          const [thrown, ...told] of [
            [
              { name: "ApiError", message: "no such row", code: 404 },
              "ApiError",
              "no such row",
              "404",
            ],
            [{ code: "E17" }, "Error", "E17", "E17"],
            [
              { status: 500 },
              "Error",
              '[object Object], which is no Error and has no "message"',
              undefined,
            ],
          ] as const
        ) {
          const asked = asking.request(thrown, { routingKey: queue.name });
          const error = await rejectsWith(asked, "remote-failed");
          assert.ok(error instanceof RemoteError);
          const { remoteName, message, remoteCode } = error;
          assert.deepEqual([remoteName, message, remoteCode], told);
        }
      });
    },
  ),
  onStage(
    "with retry the last error is the answer, and the request is parked",
    async ({ connection, ...stage }) => {
      const dead = stage.queue();
      const queue = stage.queue({ deadLetter: dead });
      await connection.declare([dead, queue]);
      const calls: unknown[] = [];
      const handler: ServeHandler<unknown, unknown> = (message) => {
        calls.push([message.payload, message.attempt]);
        const isEnough = message.payload === "twice" && message.attempt === 2;
        if (!isEnough) throw new Error(`attempt ${message.attempt}`);
        return "at last";
      };
      await serving(connection, queue, handler, async (asking) => {
        const ask = (payload: string) =>
          asking.request(payload, { routingKey: queue.name });
        assert.equal(await ask("twice"), "at last");
        await rejectsWith(ask("never"), "remote-failed", "attempt 3");
        await until(
          async () => (await connection.declare(dead)).messageCount === 1,
          "the parked request",
        );
      }, { retry: { attempts: 3, backoff: 0 } });
      assert.deepEqual(calls, [
        ["twice", 1],
        ["twice", 2],
        ["never", 1],
        ["never", 2],
        ["never", 3],
      ]);
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "a request that cannot be read is answered with why, and parked",
    async ({ connection, ...stage }) => {
      const dead = stage.queue();
      const queue = new Queue<number>(stage.queue().name, {
        deadLetter: dead,
        schema: (payload) => {
          if (typeof payload === "number") return payload;
          throw new TypeError("expected a number");
        },
      });
      await connection.declare([dead, queue]);
      await serving(connection, queue, () => 1, async (asking) => {
        await rejectsWith(
          asking.request("one", { routingKey: queue.name }),
          "remote-failed",
          "expected a number",
        );
        assert.equal(await asking.request(1, { routingKey: queue.name }), 1);
        await until(
          async () => (await connection.declare(dead)).messageCount === 1,
          "the parked request",
        );
      });
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "close() rejects what waits for an answer, and no queue for answers stays",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const asking = open(harness);
      const called = Promise.withResolvers<void>();
      const closed = Promise.withResolvers<void>();
      let replyTo = "";
      const handler: ServeHandler<unknown, unknown> = async (message) => {
        replyTo = message.properties.replyTo ?? "";
        called.resolve();
        await closed.promise;
      };
      await serving(connection, queue, handler, async () => {
        const request = asking.request(1, { routingKey: queue.name });
        request.catch(() => {});
        await arrives(called.promise, "the request");
        await asking.close();
        try {
          await rejectsWith(request, "use-after-close", "while the request");
        } finally {
          closed.resolve();
        }
      });
      await until(async () => {
        const channel = await connection.channel();
        const there = await channel.checkQueue(replyTo).then(
          () => true,
          () => false,
        );
        await channel[Symbol.asyncDispose]();
        return !there;
      }, `the end of queue "${replyTo}"`);
    },
    { needs: ["known-queues"] },
  ),
];

/** Serves a queue while another connection asks. */
async function serving<T, A>(
  connection: Connection,
  queue: Queue<T>,
  handler: ServeHandler<T, A>,
  ask: (asking: Connection) => Promise<void>,
  options: ServeOptions<T> = {},
): Promise<void> {
  const consumer = connection.consumer(queue);
  const served = consumer.serve(handler, options);
  const asking = connection.clone();
  try {
    const ended = served.then(() => assert.fail("serve() ended before"));
    await arrives(
      Promise.race([ask(asking), ended]),
      "the answers",
      4 * PATIENCE,
    );
  } finally {
    await asking.close();
    await consumer.cancel();
    await arrives(served, "the end of serve()");
  }
}

/** Waits until all of a queue's messages are acked. */
async function empties(connection: Connection, queue: Queue): Promise<void> {
  await until(
    async () => (await connection.declare(queue)).messageCount === 0,
    "an empty queue",
  );
}
