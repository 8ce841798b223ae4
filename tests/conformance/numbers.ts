import assert from "node:assert/strict";
import { type Connection, Queue } from "../../mod.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { publishing, soon, textOf, unique } from "./support.ts";

/** No number of milliseconds that a message could wait. */
const NO_WAITS: readonly number[] = [-1, NaN, Infinity, 1e15];

/** No count. */
const NO_COUNTS: readonly number[] = [0, -1, 1.5, NaN, Infinity];

/** What takes a number, by the name that its error is to have. */
const TAKERS: readonly (readonly [
  name: string,
  values: readonly number[],
  call: (connection: Connection, queue: Queue, value: number) => unknown,
])[] = [
  [
    "delay",
    NO_WAITS,
    (connection, queue, delay) => connection.send(queue, 1, { delay }),
  ],
  [
    "delay",
    NO_WAITS,
    (connection, queue, delay) => connection.producer({ queue, delay }),
  ],
  [
    "expiration",
    NO_WAITS,
    (connection, queue, expiration) =>
      connection.send(queue, 1, { expiration }),
  ],
  [
    "priority",
    [-1, NaN, Infinity, 256],
    (connection, queue, priority) => connection.send(queue, 1, { priority }),
  ],
  [
    "timeout",
    [0, -1, NaN],
    (connection, queue, timeout) => connection.send(queue, 1, { timeout }),
  ],
  [
    "timeout",
    [0, -1, NaN],
    (connection, queue, timeout) =>
      connection.request(1, { routingKey: queue.name, timeout }),
  ],
  [
    "maxInFlight",
    [0, -1, 1.5, NaN],
    (connection, queue, maxInFlight) =>
      connection.producer({ queue, maxInFlight }),
  ],
  [
    "prefetch",
    [...NO_COUNTS, 65_536],
    (connection, queue, prefetch) => connection.consumer(queue, { prefetch }),
  ],
  [
    "concurrency",
    NO_COUNTS,
    (connection, queue, concurrency) =>
      connection.consumer(queue).run(() => {}, { concurrency }),
  ],
  [
    "drainTimeout",
    [0, -1, NaN],
    (connection, queue, drainTimeout) =>
      connection.consumer(queue).run(() => {}, { drainTimeout }),
  ],
  [
    "retry.backoff",
    NO_WAITS,
    (connection, queue, backoff) =>
      connection.consumer(queue).run(() => {}, {
        retry: { attempts: 2, backoff },
      }),
  ],
  [
    "retry.initialDelay",
    [0, ...NO_WAITS],
    (connection, queue, initialDelay) =>
      connection.consumer(queue).run(() => {}, {
        retry: { attempts: 2, initialDelay },
      }),
  ],
  [
    "interval",
    [0, ...NO_WAITS],
    (connection, queue, interval) =>
      connection.consumer(queue).run(() => {}, {
        rateLimit: { limit: 1, interval },
      }),
  ],
  [
    "max",
    [...NO_COUNTS, 1e6],
    (connection, queue, max) => connection.queue(queue.name).receive({ max }),
  ],
  [
    "wait",
    NO_WAITS,
    (connection, queue, wait) => connection.queue(queue.name).receive({ wait }),
  ],
  [
    "max",
    NO_COUNTS,
    (connection, queue, max) => connection.queue(queue.name).peek({ max }),
  ],
  [
    "delay",
    NO_WAITS,
    (connection, queue, delay) =>
      connection.queue(queue.name).reschedule("id", { delay }),
  ],
  [
    "messageTtl",
    NO_WAITS,
    (_, { name }, messageTtl) => new Queue(name, { messageTtl }),
  ],
  [
    "expires",
    [0, ...NO_WAITS],
    (_, { name }, expires) => new Queue(name, { expires }),
  ],
  [
    "maxLength",
    [-1, NaN, Infinity],
    (_, { name }, maxLength) => new Queue(name, { maxLength }),
  ],
  [
    "maxPriority",
    [0, 256, NaN],
    (_, { name }, maxPriority) => new Queue(name, { maxPriority }),
  ],
];

/** Numbers that are out of range, and those that are large and right. */
export const NUMBERS: readonly ConformanceCase[] = [
  onStage(
    "a number out of range is named by its error, with what was given, and nothing is sent",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      for (const [name, values, call] of TAKERS) {
        for (const value of values) {
          const what = `"${name}" ${value}`;
          const calling = async () => await call(connection, queue, value);
          const error = await calling()
            .then(() => undefined, (error: unknown) => error);
          assert.ok(error instanceof RangeError, `${what}: ${error}`);
          const { message } = error;
          assert.ok(message.includes(name), `${what}: ${message}`);
          assert.ok(message.includes(String(value)), `${what}: ${message}`);
          assert.match(message, /must be/, what);
        }
      }
      const { messageCount } = await connection.queueStatus(queue);
      assert.equal(messageCount, 0);
    },
  ),
  onStage(
    "message.requeue() names a delay out of range, and stays unsettled",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.send(queue, "x");
      const [message] = await take(connection.consumer<string>(queue), 1);
      assert.ok(message !== undefined);
      for (const delay of NO_WAITS) {
        await assert.rejects(message.requeue({ delay }), {
          name: "RangeError",
          message: /"delay"/,
        });
        assert.equal(message.settled, false);
      }
      await message.ack();
    },
  ),
  onBroker(
    "a delay that no message can have is refused before it is sent",
    async (broker) => {
      const queue = await broker.queue();
      for (const delay of NO_WAITS) {
        await assert.rejects(
          broker.channel.publish(
            publishing("", queue, "unfit", { delay }),
            soon(),
          ),
          { name: "RangeError", message: /delay/ },
        );
      }
      await broker.put(queue, "fit");
      assert.equal(textOf(await broker.getSoon(queue)), "fit");
    },
    { needs: ["delay"] },
  ),
  onStage(
    "a connection without limits of time connects, publishes and takes",
    async (stage, harness) => {
      const queue = stage.queue();
      for (const timeout of [Infinity, 1e15]) {
        const connection = open(harness, {
          connectTimeout: timeout,
          operationTimeout: timeout,
          heartbeat: 0,
        });
        try {
          const text = unique("text");
          await connection.send(queue, text, { timeout });
          const [message] = await take(connection.consumer<string>(queue), 1);
          assert.equal(message?.payload, text);
          await message?.ack({ timeout });
        } finally {
          await connection.close();
        }
      }
    },
  ),
];
