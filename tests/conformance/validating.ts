import assert from "node:assert/strict";
import { DecodeError, type Message, type Queue } from "../../mod.ts";
import { arrives, until } from "./support.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, type Stage, take } from "./stage.ts";

interface Order {
  readonly id: number;
}

/** Takes `{ id: number }`, and says where it is not. */
function orderOf(payload: unknown): Order {
  if (
    typeof payload === "object" && payload !== null && "id" in payload &&
    typeof payload.id === "number"
  ) return { id: payload.id };
  throw new DecodeError("Cannot take an order", {
    issues: [{ message: "no number", path: ["id"] }],
  });
}

/** A queue with dead letters, and a way to publish to it. */
function places(stage: Stage) {
  const dead = stage.queue();
  const queue = stage.queue({ deadLetter: dead });
  const producer = stage.connection.producer({ queue });
  return { dead, queue, producer };
}

/** The bodies of so many dead letters, as texts. */
async function deadLetters(
  stage: Stage,
  dead: Queue,
  count: number,
): Promise<string[]> {
  const messages = await take(stage.connection.consumer(dead), count);
  return messages.map(({ body }) => new TextDecoder().decode(body)).sort();
}

/** A message that a schema refuses, or that cannot be read, comes to no handler and no loop. */
export const VALIDATING: readonly ConformanceCase[] = [
  onStage(
    "a message that its schema refuses, or that cannot be read, comes to no handler, is not tried again, is told, and is dead-lettered",
    async (stage) => {
      const { dead, queue, producer } = places(stage);
      await producer.publish({ id: "no number" });
      await producer.publish("{", { contentType: "application/json" });
      await producer.publish({ id: 7 });
      const seen: Order[] = [];
      const told: Error[] = [];
      const consumer = stage.connection.consumer(queue, { schema: orderOf });
      const running = consumer.run(({ payload }) => {
        seen.push(payload);
      }, {
        retry: { attempts: 3, backoff: 0 },
        onError: (error) => told.push(error),
      });
      assert.deepEqual(await deadLetters(stage, dead, 2), [
        "{",
        '{"id":"no number"}',
      ]);
      await until(() => Promise.resolve(seen.length > 0), "the good one");
      await consumer.cancel();
      await arrives(running, "the end of run()");
      assert.deepEqual(seen, [{ id: 7 }]);
      assert.equal(told.length, 2);
      for (const error of told) assert.ok(error instanceof DecodeError);
      assert.deepEqual(
        told.flatMap((error) =>
          error instanceof DecodeError ? error.issues : []
        ),
        [{ message: "no number", path: ["id"] }],
      );
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "a message that its schema refuses comes to no loop, and the next does",
    async (stage) => {
      const { dead, queue, producer } = places(stage);
      for (const id of ["a", 1, "b", "c", 2]) await producer.publish({ id });
      const told: Error[] = [];
      const consumer = stage.connection.consumer(queue, {
        schema: orderOf,
        prefetch: 1,
        onError: (error) => told.push(error),
      });
      const ids: number[] = [];
      await arrives(
        (async () => {
          for await (const message of consumer) {
            ids.push(message.payload.id);
            await message.ack();
            if (ids.length === 2) break;
          }
        })(),
        "the good ones",
      );
      assert.deepEqual(ids.sort(), [1, 2]);
      assert.equal(told.length, 3);
      assert.deepEqual(await deadLetters(stage, dead, 3), [
        '{"id":"a"}',
        '{"id":"b"}',
        '{"id":"c"}',
      ]);
    },
    { needs: ["dead-letter"], ordered: true },
  ),
  onStage(
    "onInvalid decides, of run and of a loop: a message that it settles is done, and one that it leaves or fails for is given up",
    async (stage) => {
      const { connection } = stage;
      const { dead, queue, producer } = places(stage);
      const decide = async (_: Error, message: Message<Order>) => {
        const text = new TextDecoder().decode(message.body);
        if (text.includes("ack")) await message.ack();
        if (text.includes("throw")) throw new Error("undecided");
      };
      const options = { schema: orderOf, onInvalid: decide };
      const consume = {
        async run() {
          const consumer = connection.consumer(queue, options);
          const running = consumer.run(() => void consumer.cancel());
          await arrives(running, "the good one");
        },
        async loop() {
          const [good] = await take(connection.consumer(queue, options), 1);
          await good?.ack();
        },
      };
      for (const way of ["run", "loop"] as const) {
        for (const id of ["ack", "leave", "throw", 1]) {
          await producer.publish({ id });
        }
        await consume[way]();
        assert.deepEqual(await deadLetters(stage, dead, 2), [
          '{"id":"leave"}',
          '{"id":"throw"}',
        ], way);
        await connection.queue(dead.name).purge();
      }
      assert.equal(
        (await connection.queue(queue.name).status())?.messageCount,
        0,
      );
    },
    { needs: ["dead-letter"], ordered: true },
  ),
  onStage(
    "run() asks a schema that answers later for as many at once as it has handlers",
    async (stage) => {
      const { queue, producer } = places(stage);
      for (const id of [1, 2, 3]) await producer.publish({ id });
      const { promise, resolve } = Promise.withResolvers<void>();
      let asked = 0;
      const consumer = stage.connection.consumer(queue, {
        schema: async (payload) => {
          if (++asked === 3) resolve();
          await promise;
          return orderOf(payload);
        },
      });
      const seen: number[] = [];
      const running = consumer.run(({ payload }) => {
        seen.push(payload.id);
        if (seen.length === 3) void consumer.cancel();
      }, { concurrency: 3 });
      await arrives(running, "the end of run()");
      assert.deepEqual(seen.sort(), [1, 2, 3]);
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "a message that its schema still looks at when its consumer is cancelled goes back",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.producer({ queue }).publish({ id: 1 });
      const looking = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      const consumer = connection.consumer(queue, {
        schema: async (payload) => {
          looking.resolve();
          await answer.promise;
          return orderOf(payload);
        },
      });
      const next = consumer[Symbol.asyncIterator]().next();
      await arrives(looking.promise, "the schema");
      await consumer.cancel();
      answer.resolve();
      assert.equal((await arrives(next, "the end")).done, true);
      await consumer.close();
      const other = open(harness);
      try {
        const [message] = await take(other.consumer(queue.name), 1);
        assert.deepEqual(message?.payload, { id: 1 });
      } finally {
        await other.close();
      }
    },
  ),
];
