import assert from "node:assert/strict";
import type { Consumer, Message } from "../../mod.ts";
import { failedQueue } from "../../virtual/mod.ts";
import type { ConformanceCase } from "./case.ts";
import { deathOf } from "./deaths.ts";
import { onStage, open, type Stage, take } from "./stage.ts";
import { arrives, rejectsWith } from "./support.ts";

/** The time that a busy machine may take beyond what is promised, ms. */
const NOISE = 10_000;

/** A queue with an exchange, and another where it dead-letters. */
function queues(stage: Stage) {
  const exchange = stage.exchange({ type: "direct" });
  const deadLetters = stage.exchange({ type: "fanout" });
  const dead = stage.queue({ exchange: deadLetters });
  const queue = stage.queue({
    exchange,
    routingKey: "work",
    deadLetterExchange: deadLetters,
  });
  const producer = stage.connection.producer<string>({
    exchange,
    routingKey: "work",
    declare: [dead, queue],
  });
  return { exchange, dead, queue, producer };
}

/** A message that comes out of a dead-letter queue. */
async function deadLetterOf(
  consumer: Consumer<string>,
): Promise<Message<string>> {
  const [message] = await take(consumer, 1);
  assert.ok(message !== undefined);
  await message.ack();
  return message;
}

/** Handlers that throw. */
export const RETRYING: readonly ConformanceCase[] = [
  onStage(
    "a handler that throws is called `attempts` times over three connections, with the gaps of its backoff, and then the message is dead-lettered once (row 9)",
    async (stage, harness) => {
      const { exchange, dead, queue, producer } = queues(stage);
      await producer.publish("bad", { headers: { kept: "yes" } });
      const calls: number[] = [];
      const places: unknown[] = [];
      const others = [open(harness), open(harness), open(harness)];
      // If a topology is its connection's alone, all that dead-letter declare it.
      for (const other of others) await other.declare([dead, queue]);
      const consumers = others.map((other) => other.consumer<string>(queue));
      const running = consumers.map((consumer) =>
        consumer.run((message) => {
          calls.push(performance.now());
          const { exchange, routingKey } = message.deliveryInfo;
          places.push([exchange, routingKey]);
          throw new Error("bad luck");
        }, { retry: { attempts: 3, initialDelay: 300, jitter: 0 } })
      );
      const { headers, payload } = await deadLetterOf(
        stage.connection.consumer<string>(dead),
      );
      for (const consumer of consumers) await consumer.cancel();
      await Promise.all(running);
      for (const other of others) await other.close();
      assert.equal(payload, "bad");
      assert.equal(calls.length, 3);
      assert.deepEqual(places, Array(3).fill([exchange.name, "work"]));
      for (const [i, delay] of [300, 600].entries()) {
        const gap = (calls[i + 1] ?? 0) - (calls[i] ?? 0);
        assert.ok(
          gap >= delay - 1 && gap < delay * 1.2 + NOISE,
          `the gap was ${gap} ms, and should be ${delay}`,
        );
      }
      assert.equal(headers["x-attempts"], 3);
      assert.equal(headers.kept, "yes");
      const death = deathOf(headers);
      assert.deepEqual(
        [death.queue, death.reason, death.exchange, death["routing-keys"]],
        [queue.name, "rejected", exchange.name, ["work"]],
      );
      assert.equal(Number(death.count), 1);
      for (const { name } of [queue, dead]) {
        const channel = await stage.connection.channel();
        assert.equal((await channel.checkQueue(name)).messageCount, 0);
      }
    },
    { needs: ["delay", "dead-letter"] },
  ),
  onStage(
    "run() waits as its queue says where its policy does not",
    async ({ connection, ...stage }) => {
      const queue = stage.queue({ delayedRetry: { min: 300, max: 400 } });
      const producer = connection.producer({ declare: [queue] });
      await producer.publish("x", { routingKey: queue.name });
      const calls: number[] = [];
      const consumer = connection.consumer<string>(queue);
      const running = consumer.run(() => {
        calls.push(performance.now());
        if (calls.length === 3) return void consumer.cancel();
        throw new Error("later");
      }, { retry: { attempts: 5 } });
      await arrives(running, "the third attempt");
      const [first = 0, second = 0, third = 0] = calls;
      assert.ok(second - first >= 295, `the gap was ${second - first} ms`);
      assert.ok(third - second >= 395, `the gap was ${third - second} ms`);
    },
    { needs: ["delay"] },
  ),
  onStage(
    "messages that wait for another attempt do not occupy the prefetch (row 9)",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ declare: [queue] });
      const routingKey = queue.name;
      for (let i = 0; i < 5; i++) await producer.publish(i, { routingKey });
      const seen: number[] = [];
      const consumer = connection.consumer<number>(queue, { prefetch: 1 });
      const running = consumer.run(({ payload }) => {
        seen.push(payload);
        if (seen.length === 5) void consumer.cancel();
        else throw new Error("later");
      }, { retry: { attempts: 2, backoff: 900_000 } });
      await arrives(running, "five messages");
      assert.deepEqual(seen, [0, 1, 2, 3, 4]);
      assert.equal(consumer.health().inFlight, 0);
    },
    { needs: ["delay"] },
  ),
  onStage(
    "a message that succeeds at its second attempt is done",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      await producer.publish("x", { routingKey: queue.name, messageId: "m" });
      const attempts: unknown[] = [];
      const consumer = connection.consumer<string>(queue);
      const running = consumer.run(({ headers, properties }) => {
        attempts.push([headers["x-attempts"], properties.messageId]);
        if (attempts.length === 1) throw new Error("not yet");
        void consumer.cancel();
      }, { retry: { attempts: 5, backoff: () => 1 } });
      await arrives(running, "a second attempt");
      assert.deepEqual(attempts, [[undefined, "m"], [2, "m"]]);
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
    { needs: ["delay"] },
  ),
  onStage(
    "without backoff attempts follow at once, on any broker, and end",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, failedQueue(queue.name)); // it is parked there
      const producer = connection.producer({ declare: [queue] });
      await producer.publish("bad", { routingKey: queue.name });
      await producer.publish("good", { routingKey: queue.name });
      const seen: string[] = [];
      const consumer = connection.consumer<string>(queue, { prefetch: 1 });
      const running = consumer.run(({ payload }) => {
        seen.push(payload);
        if (seen.length === 4) void consumer.cancel();
        if (payload === "bad") throw new Error("bad luck");
      }, { retry: { attempts: 3, backoff: 0 } });
      await arrives(running, "four calls");
      assert.deepEqual(seen.sort(), ["bad", "bad", "bad", "good"]);
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
  ),
  onStage(
    "a message that cannot be read is not tried again (row 8)",
    async (stage) => {
      const { dead, queue, producer } = queues(stage);
      await producer.publish("{", { contentType: "application/json" });
      let calls = 0;
      const consumer = stage.connection.consumer(queue);
      const running = consumer.run((message) => {
        calls++;
        message.payload;
      }, { retry: { attempts: 5 } });
      const message = await take(
        stage.connection.consumer<string>(dead, { accept: ["text"] }),
        1,
      );
      await consumer.cancel();
      await running;
      assert.equal(calls, 1);
      assert.equal(message[0]?.headers["x-attempts"], undefined);
    },
    { needs: ["delay", "dead-letter"] },
  ),
  onStage(
    "waiting between attempts is refused where there is no delay",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const retry = { attempts: 2, backoff: 1000 };
      await rejectsWith(
        connection.consumer(queue).run(() => {}, { retry }),
        "unsupported",
        "delay",
      );
      await connection.connect();
      const connected = connection.consumer(queue);
      await rejectsWith(connected.run(() => {}, { retry }), "unsupported");
    },
    { lacks: ["delay"] },
  ),
  onStage(
    "run() refuses a policy that makes no sense",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      for (
        const retry of [
          { attempts: 0 },
          { attempts: 1.5 },
          { attempts: 2, backoff: -1 },
          { attempts: 2, initialDelay: NaN },
          { attempts: 2, initialDelay: 0 },
          { attempts: 2, maxDelay: -1 },
          { attempts: 2, factor: 0.5 },
          { attempts: 2, jitter: 1.1 },
        ]
      ) {
        await assert.rejects(
          connection.consumer(queue).run(() => {}, { retry }),
          RangeError,
        );
      }
      await assert.rejects(
        connection.consumer(queue, { autoAck: true }).run(() => {}, {
          retry: { attempts: 2 },
        }),
        TypeError,
      );
    },
  ),
];
