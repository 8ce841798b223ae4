import assert from "node:assert/strict";
import { binding, Exchange, Queue } from "../../mod.ts";
import { failedQueue } from "../../virtual/mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { arrives, rejectsWith, unique, until } from "./support.ts";

/** The options of a producer, and the results of its calls. */
export const PRODUCING: readonly ConformanceCase[] = [
  onStage(
    "publish() carries what it is given, and fills in the rest",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const timestamp = new Date(1_700_000_000_000);
      const routingKey = queue.name;
      await producer.publish("all", {
        routingKey,
        messageId: "mine",
        correlationId: "c",
        replyTo: "answers",
        type: "t",
        appId: "a",
        timestamp,
        priority: 9,
        expiration: 3_600_000,
        persistent: false,
        headers: { h: 1 },
      });
      await producer.publish("none", { routingKey });
      const [all, none] = await take(connection.consumer(queue), 2);
      const { properties } = all ?? {};
      assert.deepEqual([
        properties?.messageId,
        properties?.correlationId,
        properties?.replyTo,
        properties?.type,
        properties?.appId,
        properties?.timestamp,
        properties?.priority,
        properties?.deliveryMode,
        properties?.headers?.h,
      ], [
        "mine",
        "c",
        "answers",
        "t",
        "a",
        timestamp,
        9,
        "transient",
        1,
      ]);
      assert.equal(none?.properties.deliveryMode, "persistent");
      assert.match(none?.properties.messageId ?? "", /^[0-9a-f-]{36}$/);
      // On a broker that has no message without a priority, it is 0.
      assert.deepEqual([
        none?.properties.priority ?? 0,
        none?.properties.correlationId,
        none?.properties.replyTo,
      ], [0, undefined, undefined]);
    },
    { needs: ["priority", "message-ttl"], ordered: true },
  ),
  onStage(
    "numbers out of range are refused before they are sent, and those at the ends are taken",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const routingKey = queue.name;
      for (
        const wrong of [
          { priority: -1 },
          { priority: 256 },
          { priority: NaN },
          { expiration: -1 },
          { expiration: NaN },
          { delay: -1 },
          { timeout: -1 },
          { timeout: NaN },
        ]
      ) {
        const error = await producer.publish(1, { routingKey, ...wrong })
          .catch((error: unknown) => error);
        assert.ok(error instanceof RangeError, `${JSON.stringify(wrong)}`);
        const [name = ""] = Object.keys(wrong);
        assert.ok(error.message.includes(name), error.message);
      }
      await rejectsWithRange(
        producer.publish(1, { routingKey: "k".repeat(256) }),
      );
      for (const right of [{ priority: 0 }, { priority: 9 }, { delay: 0 }]) {
        await producer.publish(1, { routingKey, ...right });
      }
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 3);
      for (const maxInFlight of [0, -1, 1.5, NaN]) {
        assert.throws(() => connection.producer({ maxInFlight }), RangeError);
      }
    },
    { needs: ["priority"] },
  ),
  onStage(
    "a producer carries defaults for what a message is published with, and a publish wins",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const timestamp = new Date(1_700_000_000_000);
      const producer = connection.producer<string>({
        queue,
        headers: { app: "shop", step: "one" },
        persistent: false,
        correlationId: "c",
        replyTo: "replies",
        type: "order",
        appId: "shop",
        timestamp,
        timeout: 15_000,
      });
      await producer.publish("usual");
      await producer.publish("own", {
        headers: { step: "two" },
        persistent: true,
        type: "refund",
        appId: undefined,
      });
      const messages = await take(connection.consumer<string>(queue), 2);
      const seen = messages.map(({ payload, headers, properties }) => [
        payload,
        headers,
        properties.deliveryMode,
        properties.correlationId,
        properties.replyTo,
        properties.type,
        properties.appId,
        properties.timestamp,
      ]).sort();
      assert.deepEqual(seen, [
        [
          "own",
          { app: "shop", step: "two" },
          "persistent",
          "c",
          "replies",
          "refund",
          "shop",
          timestamp,
        ],
        [
          "usual",
          { app: "shop", step: "one" },
          "transient",
          "c",
          "replies",
          "order",
          "shop",
          timestamp,
        ],
      ]);
      for (const message of messages) await message.ack();
      for (
        const wrong of [{ priority: 256 }, { expiration: -1 }, { delay: NaN }]
      ) {
        assert.throws(
          () => connection.producer({ queue, ...wrong }),
          RangeError,
        );
      }
    },
  ),
  onStage(
    "a producer's options hold for each message that has none of its own",
    async ({ connection, ...stage }) => {
      const [one, two] = [
        stage.exchange({ type: "topic" }),
        stage.exchange({ type: "topic" }),
      ];
      const queue = new Queue(stage.queue().name, {
        bindings: [binding(one, "#"), binding(two, "#")],
      });
      const producer = connection.producer({
        exchange: one,
        routingKey: "usual",
        declare: [queue],
        serializer: "text",
        compression: "gzip",
      });
      await producer.publish("a");
      await producer.publish("b", { routingKey: "own" });
      await producer.publish("c", { exchange: two });
      await producer.publish("d", {
        serializer: "json",
        compression: "brotli",
      });
      const messages = await take(connection.consumer(queue), 4);
      assert.deepEqual(
        messages.map(({ payload, contentType, headers, deliveryInfo }) => [
          payload,
          contentType,
          headers.compression,
          deliveryInfo.exchange,
          deliveryInfo.routingKey,
        ]).sort(),
        [
          ["a", "text/plain", "application/x-gzip", one.name, "usual"],
          ["b", "text/plain", "application/x-gzip", one.name, "own"],
          ["c", "text/plain", "application/x-gzip", two.name, "usual"],
          ["d", "application/json", "application/x-brotli", one.name, "usual"],
        ],
      );
    },
  ),
  onStage(
    "the entities that a message names are declared before it is sent",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "topic" });
      const queue = stage.queue({ exchange, routingKey: "#" });
      const producer = connection.producer<number>();
      await Promise.all([1, 2, 3].map((each) =>
        producer.publish(each, {
          exchange,
          declare: [queue],
          routingKey: "k",
          mandatory: true,
        })
      ));
      const messages = await take(connection.consumer<number>(queue), 3);
      assert.deepEqual(
        messages.map(({ payload }) => payload).sort(),
        [1, 2, 3],
      );
    },
  ),
  onStage(
    "a message to no queue is lost where nobody asked, and told where it was mandatory",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "direct" });
      const producer = connection.producer({ exchange });
      await producer.publish(1, { routingKey: "nowhere" });
      await rejectsWith(
        producer.publish(1, { routingKey: "nowhere", mandatory: true }),
        "message-unroutable",
        "nowhere",
      );
    },
  ),
  onStage(
    "publish() to a missing exchange rejects with not-found, and names it",
    async ({ connection }) => {
      const missing = unique("missing");
      const producer = connection.producer();
      await rejectsWith(
        producer.publish(1, { exchange: missing, routingKey: "k" }),
        "not-found",
        missing,
      );
    },
  ),
  onStage(
    "a producer that is closed publishes no more, and has waited for what was in flight",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const producer = connection.producer({ maxInFlight: 2 });
      const routingKey = queue.name;
      let answered = 0;
      for (let i = 0; i < 10; i++) {
        producer.publish(i, { routingKey }).then(() => answered++);
      }
      await producer[Symbol.asyncDispose]();
      assert.equal(answered, 10);
      await rejectsWith(
        producer.publish(1, { routingKey }),
        "use-after-close",
      );
      await producer[Symbol.asyncDispose]();
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 10);
    },
  ),
  onStage(
    "publish() with an aborted signal rejects with its reason, and sends nothing",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const reason = new Error("mine");
      const signal = AbortSignal.abort(reason);
      for (let i = 0; i < 2; i++) {
        const error = await producer.publish(1, {
          routingKey: queue.name,
          signal,
        }).catch((error: unknown) => error);
        assert.equal(error, reason);
        const status = await connection.declare(queue);
        assert.equal(status.messageCount, 0);
      }
    },
  ),
  onStage(
    "a consumer without settled messages gets no more than its prefetch, and is told what is lost with it",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      for (let i = 0; i < 5; i++) {
        await producer.publish(i, { routingKey: queue.name });
      }
      const consumer = connection.consumer(queue, { prefetch: 2 });
      const iterator = consumer[Symbol.asyncIterator]();
      const first = await arrives(iterator.next(), "the first");
      const second = await arrives(iterator.next(), "the second");
      const third = iterator.next();
      await until(async () => {
        const status = await connection.declare(queue);
        return status.messageCount === 3;
      }, "as many as may be held");
      await first.value?.ack();
      const { value } = await arrives(third, "the third");
      assert.ok(value !== undefined && !value.settled);
      await iterator.return?.();
      await consumer[Symbol.asyncDispose]();
      assert.equal(second.value?.signal.aborted, true);
      await rejectsWith(value.ack(), "lease-lost");
    },
  ),
  onStage(
    "a schema's value is the payload, at once or later, and its issues are the error's text",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, failedQueue(queue.name)); // it is parked there
      const producer = connection.producer({ declare: [queue] });
      for (const payload of [7, "seven", "later"]) {
        await producer.publish(payload, { routingKey: queue.name });
      }
      const errors: Error[] = [];
      const consumer = connection.consumer<{ n: number }>(queue, {
        schema: {
          "~standard": {
            version: 1,
            vendor: "conformance",
            validate: (value) =>
              value === "later"
                ? Promise.resolve({ value: { n: 0 } })
                : typeof value === "number"
                ? { value: { n: value } }
                : { issues: [{ message: "no number" }, { message: "a text" }] },
          },
        },
        onInvalid: (error) => void errors.push(error),
      });
      const [good, later] = await take(consumer, 2);
      assert.deepEqual([good?.payload, later?.payload], [{ n: 7 }, { n: 0 }]);
      assert.equal(errors.length, 1);
      assert.throws(() => {
        throw errors[0];
      }, { code: "decode-failed", message: /no number; a text/ });
    },
    { ordered: true },
  ),
  onStage(
    "two connections of a harness see what the other has declared",
    async ({ connection, ...stage }, harness) => {
      const exchange = stage.exchange({ type: "fanout" });
      const queue = stage.queue({ exchange });
      await connection.declare(queue);
      const other = open(harness);
      try {
        const same = new Exchange(exchange.name, { type: "fanout" });
        await other.producer({ exchange: same }).publish("x");
        const [message] = await take(connection.consumer(queue), 1);
        assert.equal(message?.payload, "x");
      } finally {
        await other.close();
      }
    },
    { needs: ["shared-topology", "queued-fanout"] },
  ),
];

async function rejectsWithRange(promise: Promise<unknown>): Promise<void> {
  const error = await promise.catch((error: unknown) => error);
  assert.ok(error instanceof RangeError, String(error));
}
