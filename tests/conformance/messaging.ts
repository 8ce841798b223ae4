import assert from "node:assert/strict";
import zlib from "node:zlib";
import { binding, Queue } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, take } from "./stage.ts";
import { arrives, rejectsWith, soon, unique, until } from "./support.ts";

/** The objects that users hold: connections, producers, consumers, messages. */
export const MESSAGING: readonly ConformanceCase[] = [
  onStage(
    "a payload goes from producer to consumer",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "topic" });
      const queue = stage.queue({ exchange, routingKey: "a.#" });
      assert.equal(connection.connected, false);
      const producer = connection.producer({ exchange, declare: [queue] });
      const payload = {
        n: 1,
        list: ["x", null],
        when: new Date(1_700_000_000_000),
      };
      await producer.publish(payload, { routingKey: "a.b", headers: { h: 2 } });
      assert.equal(connection.connected, true);
      const [message] = await take(connection.consumer(queue), 1);
      assert.deepEqual(message?.payload, payload);
      assert.equal(message?.payload, message?.payload);
      assert.equal(message?.contentType, "application/json");
      assert.equal(message?.headers.h, 2);
      assert.match(message?.properties.messageId ?? "", /^[0-9a-f-]{36}$/);
      assert.deepEqual(
        [message?.deliveryInfo.exchange, message?.deliveryInfo.routingKey],
        [exchange.name, "a.b"],
      );
      assert.equal(message?.deliveryInfo.queue, queue.name);
      await message?.ack();
      assert.equal(message?.settled, true);
    },
  ),
  onStage(
    "texts and bytes are carried as they are",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const bytes = Uint8Array.of(0, 255);
      await producer.publish("héllo", { routingKey: queue.name });
      await producer.publish(bytes, { routingKey: queue.name });
      await producer.publish("<a/>", {
        routingKey: queue.name,
        contentType: "application/xml",
      });
      const consumer = connection.consumer(queue, {
        accept: ["text", "bytes", "application/xml"],
      });
      const [text, data, xml] = await take(consumer, 3);
      assert.deepEqual([text?.payload, text?.contentType], [
        "héllo",
        "text/plain",
      ]);
      assert.deepEqual(data?.payload, bytes);
      assert.deepEqual([xml?.payload, xml?.contentType], [
        "<a/>",
        "application/xml",
      ]);
    },
  ),
  onStage(
    "a compressed body is delivered as it is, and read as its payload",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const routingKey = queue.name;
      const payload = { text: "again ".repeat(1000) };
      // Node has zstd since 22.15.
      const compressions = ["gzip", "brotli", "zstd"].filter((name) =>
        name !== "zstd" || "zstdCompressSync" in zlib
      );
      for (const compression of compressions) {
        await producer.publish(payload, { routingKey, compression });
      }
      const corrupt = { compression: "application/x-gzip" };
      await producer.publish("{}", { routingKey, headers: corrupt });
      await producer.publish("last", { routingKey });
      const messages = await take(
        connection.consumer<unknown>(queue),
        compressions.length + 2,
      );
      assert.deepEqual(
        messages.map(({ headers }) => headers.compression),
        [
          "application/x-gzip",
          "application/x-brotli",
          ...compressions.length === 3 ? ["application/zstd"] : [],
          "application/x-gzip",
          undefined,
        ],
      );
      const [wrong, last] = messages.slice(compressions.length);
      for (const message of messages.slice(0, compressions.length)) {
        assert.deepEqual(message?.payload, payload);
        assert.ok((message?.body.length ?? Infinity) < 200);
      }
      assert.throws(() => wrong?.payload, { code: "decode-failed" });
      assert.equal(last?.payload, "last");
    },
  ),
  onStage(
    "publish() to a missing queue rejects, and the producer lives on",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const missing = unique("missing");
      await rejectsWith(
        producer.publish(1, { routingKey: missing }),
        "message-unroutable",
        missing,
      );
      await producer.publish(2, { routingKey: queue.name });
    },
    { needs: ["known-queues"] },
  ),
  onStage(
    "publish() to a missing exchange rejects, and harms no other",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const missing = unique("missing");
      const results = await Promise.allSettled(
        Array.from(
          { length: 50 },
          (_, i) =>
            i === 25
              ? producer.publish(i, { exchange: missing })
              : producer.publish(i, { routingKey: queue.name }),
        ),
      );
      assert.deepEqual(
        results.flatMap((each, i) => each.status === "rejected" ? [i] : []),
        [25],
      );
      await rejectsWith(
        producer.publish(1, { exchange: missing }),
        "not-found",
        missing,
      );
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 49);
    },
  ),
  onStage(
    "an exchange that was deleted is declared again",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange();
      const queue = stage.queue({ exchange, routingKey: "k" });
      const producer = connection.producer({ exchange, declare: [queue] });
      await producer.publish(1, { routingKey: "k" });
      const channel = await connection.channel();
      await channel.deleteExchange(exchange.name, soon());
      await producer.publish(2, { routingKey: "k", mandatory: true });
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 2);
    },
  ),
  onStage(
    "an unequal declaration rejects, and harms no other",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const consumer = connection.consumer<number>(queue);
      const iterator = consumer[Symbol.asyncIterator]();
      const next = iterator.next();
      await rejectsWith(
        connection.declare(new Queue(queue.name, { durable: false })),
        "precondition-failed",
        queue.name,
        "as transient: the broker has it as durable; declare it as it is, or delete it first",
      );
      await connection.producer().publish(7, { routingKey: queue.name });
      const { value } = await arrives(next, "a message");
      assert.equal(value?.payload, 7);
      await iterator.return?.();
    },
  ),
  onStage(
    "declare() gives the status of each queue",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "fanout" });
      const [one, two] = [stage.queue({ exchange }), stage.queue({ exchange })];
      const statuses = await connection.declare([exchange, one, two]);
      assert.deepEqual(
        statuses.map(({ name, messageCount }) => [name, messageCount]),
        [[one.name, 0], [two.name, 0]],
      );
    },
  ),
  onStage("a queue has several bindings", async ({ connection, ...stage }) => {
    const exchange = stage.exchange({ type: "direct" });
    const queue = stage.queue({
      bindings: [binding(exchange, "a"), binding(exchange, "b")],
    });
    const producer = connection.producer({ exchange, declare: [queue] });
    for (const routingKey of ["a", "b", "c"]) {
      await producer.publish(routingKey, { routingKey });
    }
    const status = await connection.declare(queue);
    assert.equal(status.messageCount, 2);
  }),
  onStage(
    "leaving the loop gives back what was fetched, and what is in hand can be acked",
    async ({ connection, ...stage }, { unordered }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      for (let i = 0; i < 10; i++) {
        await producer.publish(i, { routingKey: queue.name });
      }
      const consumer = connection.consumer<number>(queue, { prefetch: 5 });
      const [first, second] = await take(consumer, 2);
      await first?.ack();
      await second?.ack();
      await until(async () => {
        const status = await connection.declare(queue);
        return status.messageCount === 8;
      }, "the messages that were fetched");
      const rest = await take(connection.consumer<number>(queue), 8);
      const payloads = rest.map(({ payload }) => payload);
      if (unordered !== undefined) payloads.sort();
      assert.deepEqual(payloads, [
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
      ]);
    },
  ),
  onStage(
    "a consumer's dispose gives back what is unsettled",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.producer({ declare: [queue] }).publish(1, {
        routingKey: queue.name,
      });
      const consumer = connection.consumer(queue);
      const [message] = await take(consumer, 1);
      await consumer[Symbol.asyncDispose]();
      assert.ok(message !== undefined);
      assert.equal(message.signal.aborted, true);
      assert.equal(message.signal.reason.code, "use-after-close");
      const [again] = await take(connection.consumer(queue), 1);
      assert.equal(again?.deliveryInfo.redelivered, true);
    },
  ),
  onStage(
    "settling twice rejects, and never reaches the broker",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.producer({ declare: [queue] }).publish(1, {
        routingKey: queue.name,
      });
      const [message] = await take(connection.consumer(queue), 1);
      assert.ok(message !== undefined);
      await message.ack();
      await rejectsWith(message.ack(), "message-settled");
      await rejectsWith(message.requeue(), "message-settled");
      await rejectsWith(message.reject(), "message-settled");
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
  ),
  onStage(
    "requeue() delivers again, reject() does not",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.producer({ declare: [queue] }).publish(1, {
        routingKey: queue.name,
      });
      const consumer = connection.consumer(queue, { prefetch: 1 });
      let count = 0;
      await arrives(
        (async () => {
          for await (const message of consumer) {
            count++;
            if (!message.deliveryInfo.redelivered) await message.requeue();
            else {
              await message.reject();
              break;
            }
          }
        })(),
        "two deliveries",
      );
      assert.equal(count, 2);
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
  ),
  onStage(
    "a consumer of several queues gets the messages of all",
    async ({ connection, ...stage }) => {
      const queues = [stage.queue(), stage.queue(), stage.queue()];
      const producer = connection.producer({ declare: queues });
      for (const { name } of queues) {
        await producer.publish(name, { routingKey: name });
      }
      const messages = await take(connection.consumer<string>(queues), 3);
      assert.deepEqual(
        messages.map((
          { payload, deliveryInfo },
        ) => [payload, deliveryInfo.queue]).sort(),
        queues.map(({ name }) => [name, name]).sort(),
      );
    },
  ),
  onStage(
    "a consumer of a missing queue's name rejects with not-found",
    async ({ connection }) => {
      const missing = unique("missing");
      await rejectsWith(
        take(connection.consumer(missing), 1),
        "not-found",
        missing,
      );
    },
    { needs: ["known-queues"] },
  ),
  onStage(
    "a queue without a name is declared, consumed, and answered to",
    async ({ connection, ...stage }) => {
      const requests = stage.queue();
      const replies = new Queue("", { exclusive: true });
      const producer = connection.producer({ declare: [requests, replies] });
      await producer.publish("ping", {
        routingKey: requests.name,
        replyTo: replies,
        correlationId: "1",
      });
      const [request] = await take(connection.consumer(requests), 1);
      await producer.publish("pong", {
        routingKey: request?.properties.replyTo ?? "",
        correlationId: request?.properties.correlationId,
      });
      const [reply] = await take(connection.consumer(replies), 1);
      assert.deepEqual([reply?.payload, reply?.properties.correlationId], [
        "pong",
        "1",
      ]);
    },
    { needs: ["exclusive"] },
  ),
];
