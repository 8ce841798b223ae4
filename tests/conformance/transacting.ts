import assert from "node:assert/strict";
import { binding, UnroutableError } from "../../mod.ts";
import type { SqlTransaction } from "../../transports/transport.ts";
import { type CaseOptions, type ConformanceCase, onBroker } from "./case.ts";
import type { Harness } from "./harness.ts";
import { onStage, type Stage, take } from "./stage.ts";
import { arrives, publishing, rejectsWith, soon, unique } from "./support.ts";

/** Thrown to roll a transaction back. */
const BACK = new Error("rolled back");

/** Does something in a transaction. */
type Transact = NonNullable<Harness["transact"]>;

/** A transaction that is not to be. */
async function rolledBack(
  transact: Transact,
  work: (transaction: SqlTransaction) => Promise<void>,
): Promise<void> {
  await assert.rejects(
    transact(async (transaction) => {
      await work(transaction);
      throw BACK;
    }),
    (error) => error === BACK,
  );
}

function transacting(
  name: string,
  run: (stage: Stage, transact: Transact) => Promise<void>,
  options: CaseOptions = {},
): ConformanceCase {
  const needs = [...options.needs ?? [], "transaction" as const];
  return onStage(name, async (stage, { transact }) => {
    if (transact === undefined) throw new Error("the harness has none");
    await run(stage, transact);
  }, { ...options, needs, transacts: true });
}

/** Messages that are published in a transaction of the caller's. */
export const TRANSACTING: readonly ConformanceCase[] = [
  transacting(
    "publish with a transaction puts a message if it commits, and none if it rolls back",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const producer = connection.producer({ queue });
      await rolledBack(transact, async (transaction) => {
        await producer.publish("never", { transaction });
        await connection.send(queue, "nor this", { transaction });
      });
      await transact(async (transaction) => {
        await producer.publish("first", { transaction });
        await connection.send(queue, "second", { transaction });
      });
      await connection.send(queue, "last");
      const consumer = connection.consumer(queue, { autoAck: true });
      const taken = await take(consumer, 3);
      assert.deepEqual(taken.map(({ payload }) => payload), [
        "first",
        "second",
        "last",
      ]);
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
    { ordered: true },
  ),
  transacting(
    "of what is published at once in a transaction, what has no queue fails alone",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const payloads = Array.from({ length: 20 }, (_, i) => i);
      const publish = (transaction: SqlTransaction) =>
        Promise.all(payloads.map(async (each) => {
          if (each % 7 === 3) {
            await assert.rejects(
              connection.send(unique("missing"), each, { transaction }),
              UnroutableError,
            );
          } else await connection.send(queue, each, { transaction });
        }));
      await rolledBack(transact, async (transaction) => {
        await publish(transaction);
      });
      await transact(publish);
      const consumer = connection.consumer(queue, { autoAck: true });
      const expected = payloads.filter((each) => each % 7 !== 3);
      const taken = await take(consumer, expected.length);
      assert.deepEqual(taken.map(({ payload }) => payload), expected);
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
    { ordered: true },
  ),
  transacting(
    "a consumer that waits hears of what a transaction commits",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue();
      const consumer = connection.consumer<string>(queue, { autoAck: true });
      const next = consumer[Symbol.asyncIterator]().next();
      await connection.declare(queue);
      await transact((transaction) =>
        connection.send(queue, "heard", { transaction })
      );
      const { value } = await arrives(next, "the message");
      assert.equal(value?.payload, "heard");
      await consumer.cancel();
    },
  ),
  transacting(
    "a message keeps all of its properties through a transaction, and its bytes",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue({ maxPriority: 9 });
      await connection.declare(queue);
      const body = Uint8Array.from({ length: 256 }, (_, i) => i);
      const options = {
        messageId: unique("é\u{1F600}"),
        headers: { a: 1, "b'\"\\?$1": "'\"\\?$1\u0000é", list: [true, null] },
        type: "order",
        correlationId: "c",
        contentType: "application/x-mine",
      };
      await transact((transaction) =>
        connection.send(queue, body, { ...options, transaction })
      );
      const [message] = await take(
        connection.consumer(queue, { autoAck: true }),
        1,
      );
      assert.deepEqual(message?.body, body);
      const { properties } = message ?? {};
      assert.equal(properties?.messageId, options.messageId);
      assert.deepEqual(properties?.headers, options.headers);
      assert.equal(properties?.type, "order");
      assert.equal(properties?.contentType, "application/x-mine");
    },
    { needs: ["priority"] },
  ),
  transacting(
    "a transaction publishes to all queues of an exchange, or to none",
    async ({ connection, ...stage }, transact) => {
      const exchange = stage.exchange({ type: "topic" });
      const bindings = [binding(exchange, "order.*")];
      const [one, two] = [stage.queue({ bindings }), stage.queue({ bindings })];
      await connection.declare(exchange);
      await connection.declare(one);
      await connection.declare(two);
      const producer = connection.producer({ exchange });
      const options = { routingKey: "order.new" };
      await rolledBack(transact, async (transaction) => {
        await producer.publish("never", { ...options, transaction });
      });
      await transact((transaction) =>
        producer.publish("both", { ...options, transaction })
      );
      for (const queue of [one, two]) {
        assert.equal((await connection.declare(queue)).messageCount, 1);
      }
    },
  ),
  transacting(
    "a transaction keeps the order of a key, and what comes after it stands behind",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue({ ordered: true });
      await connection.declare(queue);
      const key = "customer-7";
      await connection.send(queue, 0, { key });
      await transact(async (transaction) => {
        await connection.send(queue, 1, { key, transaction });
        await connection.send(queue, 2, { key, transaction });
      });
      await connection.send(queue, 3, { key });
      const seen: unknown[] = [];
      for await (const message of connection.consumer(queue)) {
        seen.push(message.payload);
        await message.ack();
        if (seen.length === 4) break;
      }
      assert.deepEqual(seen, [0, 1, 2, 3]);
    },
    { needs: ["key-order"], ordered: true },
  ),
  transacting(
    "a delayed message of a transaction waits, and so does one that can be cancelled",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const messageId = unique("message");
      await transact(async (transaction) => {
        const delay = 600_000;
        await connection.send(queue, "late", { delay, messageId, transaction });
        await connection.send(queue, "soon", { delay: 50, transaction });
      });
      const [message] = await take(
        connection.consumer(queue, { autoAck: true }),
        1,
      );
      assert.equal(message?.payload, "soon");
      assert.ok(await connection.queue(queue).cancelDelayed(messageId));
    },
    { needs: ["delay", "cancel-delayed"] },
  ),
  transacting(
    "what cannot go with a transaction is refused before anything is done",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const later = stage.queue();
      await transact(async (transaction) => {
        const dedupe = { id: "7", window: 1000 };
        for (
          const [options, words] of [
            [{ transaction, dedupe }, "dedupe"],
            [{ transaction, retry: true }, "retry"],
            [{ transaction: 7 as never }, "7"],
            [{ transaction: {} as never }, "transaction"],
          ] as const
        ) {
          await rejectsWith(
            connection.send(queue, 1, options),
            "option-invalid",
            words,
          );
        }
        await rejectsWith(
          connection.send(later, 1, { transaction }),
          "option-invalid",
          "before it is declared",
        );
        await assert.rejects(
          connection.send(unique("missing"), 1, { transaction }),
          UnroutableError,
        );
        await rejectsWith(
          connection.producer({ exchange: unique("missing") })
            .publish(1, { transaction }),
          "not-found",
        );
        // The transaction is as good as before.
        await connection.send(queue, "kept", { transaction });
      });
      assert.equal((await connection.declare(queue)).messageCount, 1);
    },
  ),
  transacting(
    "an exchange that was declared with the queue that is bound to it takes a message of a transaction",
    async ({ connection, ...stage }, transact) => {
      const before = stage.exchange({ type: "fanout" });
      const exchange = stage.exchange({ bindings: [binding(before, "")] });
      const queue = stage.queue({
        bindings: [binding(exchange, "key")],
      });
      const options = { exchange, routingKey: "key" };
      await connection.connect();
      await transact((transaction) =>
        rejectsWith(
          connection.producer().publish(1, { ...options, transaction }),
          "option-invalid",
          "before it is declared",
        )
      );
      await connection.declare(queue);
      await transact(async (transaction) => {
        const producer = connection.producer({ exchange });
        await producer.publish("a", { routingKey: "key", transaction });
        await connection.producer().publish("b", { ...options, transaction });
        // What is routed on by it, too.
        await connection.producer({ exchange: before })
          .publish("c", { routingKey: "key", transaction });
      });
      assert.equal((await connection.declare(queue)).messageCount, 3);
      await connection.delete(exchange);
      await transact((transaction) =>
        rejectsWith(
          connection.producer().publish(1, { ...options, transaction }),
          "option-invalid",
          "before it is declared",
        )
      );
    },
    { needs: ["exchange-to-exchange"] },
  ),
  transacting(
    "a queue with a limit of length takes nothing from a transaction, and says so",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue({ maxLength: 5 });
      const free = stage.queue();
      await connection.declare(queue);
      await connection.declare(free);
      await transact(async (transaction) => {
        await rejectsWith(
          connection.send(queue, 1, { transaction }),
          "unsupported",
          "limit of length",
        );
        await connection.send(free, 1, { transaction });
      });
      assert.equal((await connection.declare(free)).messageCount, 1);
    },
    { needs: ["length-limit"] },
  ),
  transacting(
    "publishes of one transaction that are not awaited one by one come in their order",
    async ({ connection, ...stage }, transact) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const numbers = Array.from({ length: 50 }, (_, i) => i);
      await transact(async (transaction) => {
        await Promise.all(
          numbers.map((number) =>
            connection.send(queue, number, { transaction })
          ),
        );
      });
      const taken = await take(
        connection.consumer(queue, { autoAck: true }),
        numbers.length,
      );
      assert.deepEqual(taken.map(({ payload }) => payload), numbers);
    },
    { ordered: true },
  ),
  onBroker(
    "publish with a transaction is refused where the broker has none",
    async (broker) => {
      const queue = await broker.queue();
      const transaction = { query: () => Promise.resolve([]) };
      for (const delay of [0, 1000]) {
        await rejectsWith(
          (async () =>
            await broker.channel.publish(
              publishing("", queue, "x", { transaction, delay }),
              soon(),
            ))(),
          "unsupported",
          "transaction",
        );
      }
      assert.equal(await broker.count(queue), 0);
    },
    { lacks: ["transaction"] },
  ),
];
