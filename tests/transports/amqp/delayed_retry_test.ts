/** Quorum queues of RabbitMQ 4.3 that wait by themselves before a message is tried again. */

import { assert, assertEquals } from "@std/assert";
import {
  createConnection,
  type DelayedRetry,
  Queue,
  type RetryOptions,
} from "@dashi/mq";
import {
  AmqpDelivery,
  GOT,
} from "../../../transports/amqp_protocol/delivery.ts";
import { retryOf } from "../../../transports/amqp_protocol/queue_retry.ts";
import { Server } from "../../../transports/amqp_protocol/server.ts";
import { until } from "../../conformance/support.ts";
import { CLIENTS, testOne } from "../../support/amqp.ts";
import { Proxy } from "../../support/proxy.ts";

const given = Deno.env.get("DASHI_TEST_AMQP_URL");

/** Whether the tests' broker waits by itself; else they see that the library waits for it. */
async function waitsItself(): Promise<boolean> {
  if (given === undefined) return false;
  await using connection = createConnection(given);
  const { product, version } = await connection.inspect().server() ?? {};
  return new Server({ product, version }).hasDelayedRetry;
}

// deno-lint-ignore no-top-level-await -- what the broker can do must be known before its tests are named
const isNative = await waitsItself();
const by = isNative ? "the queue" : "the library";
const WAITS: DelayedRetry = { min: 300, max: 400 };

function quorum(): Queue<string> {
  return new Queue(`dashi-retry-${crypto.randomUUID()}`, {
    type: "quorum",
    delayedRetry: WAITS,
  });
}

/** Runs a handler that throws each time, and tells what it saw. */
async function failing(
  url: string,
  queue: Queue<string>,
  retry?: RetryOptions,
) {
  await using proxy = Proxy.to(url);
  let delays = false;
  const words = new TextDecoder("latin1");
  proxy.onSent = (bytes) =>
    delays ||= words.decode(bytes).includes("dashi_del");
  await using connection = createConnection(proxy.urlOf(url), {
    onUnhandled: () => {},
  });
  await connection.send(queue, "bad", { messageId: "m" });
  const calls: { attempt: number; at: number; ours: boolean }[] = [];
  const ids = new Set<string | undefined>();
  const consumer = connection.consumer(queue);
  const running = consumer.run(({ attempt, properties, headers }) => {
    // The broker counts what it has given back; a message that was written again is new to it.
    const ours = attempt === (Number(headers["x-delivery-count"] ?? 0) + 1);
    calls.push({ attempt, at: performance.now(), ours });
    ids.add(properties.messageId);
    throw new Error("no");
  }, retry === undefined ? {} : { retry });
  const failed = connection.queue<string>(`${queue.name}.failed`);
  await until(
    async () =>
      (await failed.status().catch(() => undefined))?.messageCount === 1,
    "a parked message",
  );
  await consumer.cancel();
  await running;
  const letter = await failed.get();
  await letter?.ack();
  assertEquals(ids, new Set(["m"]));
  assertEquals((await connection.queue(queue).status()).messageCount, 0);
  for (const each of [queue.name, failed.name]) {
    await connection.queue(each).delete();
  }
  const gaps = calls.slice(1).map(({ at }, i) => at - (calls[i]?.at ?? at));
  return { calls, gaps, delays, headers: letter?.headers ?? {} };
}

for (const client of CLIENTS) {
  testOne(
    client,
    `a quorum queue with delayedRetry has its waits kept by ${by}, and its attempts counted`,
    async ({ url }) => {
      const { calls, gaps, headers, delays } = await failing(url, quorum(), {
        attempts: 4,
      });
      assertEquals(calls.map(({ attempt }) => attempt), [1, 2, 3, 4]);
      // Delays of the library's own are whole seconds.
      const least = isNative ? [300, 400, 400] : [1000, 1000, 1000];
      for (const [i, gap] of gaps.entries()) {
        assert(gap >= (least[i] ?? 0) - 5, `${gaps}`);
      }
      assertEquals(calls.slice(1).every(({ ours }) => ours), isNative);
      assertEquals(headers["x-attempts"], 4);
      // The queues in which the library has messages wait.
      assertEquals(delays, !isNative);
    },
  );

  testOne(
    client,
    `waits of run's own that are the queue's are kept by ${by}, and others by the library`,
    async ({ url }) => {
      const equal = await failing(url, quorum(), {
        attempts: 3,
        backoff: (calls) => Math.min(300 * calls, 400),
      });
      assertEquals(equal.calls.map(({ attempt }) => attempt), [1, 2, 3]);
      assertEquals(equal.calls.slice(1).every(({ ours }) => ours), isNative);
      const other = await failing(url, quorum(), { attempts: 3, backoff: 0 });
      assertEquals(other.calls.map(({ attempt, ours }) => [attempt, ours]), [
        [1, true],
        [2, false],
        [3, false],
      ]);
    },
  );

  testOne(
    client,
    "messages that were fetched and not handled do not wait when their consumer ends",
    async ({ url }) => {
      const queue = new Queue<number>(`dashi-retry-${crypto.randomUUID()}`, {
        type: "quorum",
        delayedRetry: { min: 3_600_000, max: 3_600_000 },
      });
      await using connection = createConnection(url);
      for (let i = 0; i < 5; i++) await connection.send(queue, i);
      for (let round = 0; round < 3; round++) {
        const consumer = connection.consumer(queue);
        for await (const message of consumer) {
          assertEquals([message.payload, message.attempt], [round, 1]);
          await message.ack();
          break;
        }
      }
      // An hour has not passed.
      const rest = await connection.queue<number>(queue.name).receive({
        wait: 10_000,
      });
      assertEquals(rest.map(({ payload }) => payload), [3, 4]);
      for (const each of rest) await each.ack();
      await connection.queue(queue.name).delete();
    },
  );
}

Deno.test("a delivery of such a queue tells how long the broker waits, while the message is in no danger there", () => {
  const declared = {
    "x-queue-type": "quorum",
    "x-delayed-retry-type": "failed",
    "x-delayed-retry-min": 1000,
    "x-delayed-retry-max": 2500,
  };
  const delays = (more: Record<string, string | number>) => {
    const retry = retryOf({ ...declared, ...more }, 6);
    return [0, 1, 2, 3, 5, 6].map((count) => {
      const headers = { "x-attempts": 2, "x-delivery-count": count };
      const message = {
        content: new Uint8Array(),
        fields: {
          deliveryTag: 1,
          redelivered: count > 0,
          exchange: "",
          routingKey: "q",
        },
        properties: { headers },
      };
      const delivery = new AmqpDelivery("q", message, GOT, { retry });
      const { "x-attempts": attempts } = delivery.properties.headers ?? {};
      return retry === undefined
        ? attempts
        : [delivery.retryDelay, Number(attempts) - 2];
    });
  };
  // Half of a limit whose end is nothing is left for connections that are lost.
  assertEquals(delays({}), [
    [1000, 0],
    [2000, 1],
    [2500, 2],
    [undefined, 3],
    [undefined, 5],
    [undefined, 6],
  ]);
  assertEquals(delays({ "x-dead-letter-exchange": "" }), [
    [1000, 0],
    [2000, 1],
    [2500, 2],
    [2500, 3],
    [2500, 5],
    [undefined, 6],
  ]);
  assertEquals(delays({ "x-delivery-limit": -1 }).at(-1), [2500, 6]);
  for (
    const none of [
      { "x-queue-type": "classic" },
      { "x-delayed-retry-type": "returned" },
      { "x-delayed-retry-type": "disabled" },
      { "x-delayed-retry-min": "1000" },
    ]
  ) {
    assertEquals(delays(none as Record<string, string>), [2, 2, 2, 2, 2, 2]);
  }
});

Deno.test("RabbitMQ waits by itself from 4.3 on", () => {
  const has = (version: string, product = "RabbitMQ") =>
    new Server({ product, version }).hasDelayedRetry;
  assertEquals(["4.3.6", "4.10.0", "5.0.0-rc.1"].map((v) => has(v)), [
    true,
    true,
    true,
  ]);
  assertEquals(["4.2.9", "3.13.7", "", "new"].map((v) => has(v)), [
    false,
    false,
    false,
    false,
  ]);
  assertEquals(has("4.3.6", "LavinMQ"), false);
});
