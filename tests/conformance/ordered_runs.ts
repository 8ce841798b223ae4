import assert from "node:assert/strict";
import {
  type ClassicQueueOptions,
  type Connection,
  OptionError,
  type Queue,
} from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, type Stage } from "./stage.ts";
import { arrives, unique, until } from "./support.ts";

const NEEDS = { needs: ["key-order"] } as const;

/** Handlers that are called for the messages of a key one after another. */
export const ORDERED_RUNS: readonly ConformanceCase[] = [
  onStage(
    "run() handles the messages of a key one after another and in order, on two connections, whatever fails",
    async ({ connection, ...stage }, harness) => {
      const queue = orderedQueue(stage);
      const [keys, each] = [6, 12];
      await publishAll(connection, queue, textsOf(keys, each));
      const done: string[] = [];
      const first: string[] = [];
      const busy = new Set<string>();
      const wrong: string[] = [];
      const handle = async (
        { payload, key }: { payload: string; key: string | undefined },
      ) => {
        if (key !== keyIn(payload)) wrong.push(`${payload} has the key ${key}`);
        if (busy.has(key ?? "")) wrong.push(`${key} twice at once`);
        busy.add(key ?? "");
        if (!first.includes(payload)) first.push(payload);
        await new Promise((resolve) => setTimeout(resolve, random(3)));
        busy.delete(key ?? "");
        if (random(10) < 2) throw new Error("by chance");
        done.push(payload);
      };
      const options = {
        ordered: true,
        concurrency: 4,
        retry: { attempts: 100, backoff: 0 },
      };
      const other = open(harness);
      const consumers = [connection, other].map((each) =>
        each.consumer<string>(queue)
      );
      const running = consumers.map((each) => each.run(handle, options));
      await until(() => done.length >= keys * each, "all messages");
      for (const each of consumers) await each.close();
      await Promise.all(running);
      await other.close();
      assert.deepEqual(wrong, []);
      assertInOrder(done, keys, each);
      assertInOrder(first, keys, each);
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
    NEEDS,
  ),
  onStage(
    "run() in order: a key whose handler is slow holds up its own messages, and takes one place",
    async ({ connection, ...stage }) => {
      const queue = orderedQueue(stage);
      const crowd = Array.from({ length: 5 }, (_, i) => `k0 ${i}`);
      await publishAll(connection, queue, [...crowd, ...textsOf(3, 2, 1)]);
      const slow = Promise.withResolvers<void>();
      const done: string[] = [];
      const consumer = connection.consumer<string>(queue);
      const running = consumer.run(async ({ payload }) => {
        if (payload === "k0 0") await slow.promise;
        done.push(payload);
        if (done.length === 11) void consumer.cancel();
      }, { ordered: true, concurrency: 2 });
      await until(() => done.length === 6, "the messages of other keys");
      assert.deepEqual(done.filter((each) => keyIn(each) === "k0"), []);
      slow.resolve();
      await arrives(running, "the end of the run");
      assert.deepEqual(done.filter((each) => keyIn(each) === "k0"), crowd);
    },
    NEEDS,
  ),
  onStage(
    "run() in order: a message that waits for its rateLimit while the connection is lost comes again, and is handled",
    async ({ connection, ...stage }, harness) => {
      const queue = orderedQueue(stage);
      await publishAll(connection, queue, ["k0 0", "k1 0"]);
      const done: string[] = [];
      const consumer = connection.consumer<string>(queue);
      const running = consumer.run(({ payload }) => {
        if (done.push(payload) === 2) void consumer.cancel();
      }, {
        ordered: true,
        rateLimit: { limit: 1, interval: 2000, key: () => "all" },
      });
      await until(
        () => done.length === 1 && consumer.health().inFlight === 1,
        "one that waits",
      );
      await harness.restart?.();
      await arrives(running, "the other message");
      assert.deepEqual(done.toSorted(), ["k0 0", "k1 0"]);
    },
    { ...NEEDS, restarts: true },
  ),
  onStage(
    "run() in order: a message that is tried again later keeps its key waiting, and no other, and is parked in the end",
    async ({ connection, ...stage }) => {
      const dead = stage.queue();
      const queue = orderedQueue(stage, {
        deadLetterExchange: "",
        deadLetterRoutingKey: dead.name,
      });
      await connection.declare(dead);
      await publishAll(connection, queue, ["k0 0", "k0 1", "k1 0", "k1 1"]);
      const calls: string[] = [];
      const consumer = connection.consumer<string>(queue);
      await arrives(
        consumer.run(({ payload, attempt }) => {
          calls.push(`${payload} ${attempt}`);
          if (calls.length === 5) void consumer.cancel();
          if (payload === "k0 0") throw new Error("always");
        }, {
          concurrency: 1,
          retry: { attempts: 2, backoff: 1000 },
        }),
        "the end of the run",
      );
      assert.deepEqual(calls.filter((each) => keyIn(each) === "k0"), [
        "k0 0 1",
        "k0 0 2",
        "k0 1 1",
      ]);
      assert.ok(calls.indexOf("k1 1 1") < calls.indexOf("k0 0 2"));
      await until(
        async () => (await connection.declare(dead)).messageCount === 1,
        "the dead letter",
      );
      const letter = await connection.queue(dead.name).get();
      assert.deepEqual([letter?.payload, letter?.key], ["k0 0", "k0"]);
      await letter?.ack();
    },
    { needs: [...NEEDS.needs, "dead-letter", "delay"] },
  ),
  onStage(
    "run() in order: messages that wait for their key go back when the consumer is paused, and when it is closed",
    async ({ connection, ...stage }, harness) => {
      const queue = orderedQueue(stage);
      await publishAll(connection, queue, textsOf(2, 5));
      const done: string[] = [];
      const begun = new Set<string>();
      let pass = Promise.withResolvers<void>();
      const consumer = connection.consumer<string>(queue);
      const handle = async ({ payload }: { readonly payload: string }) => {
        begun.add(payload);
        await pass.promise;
        done.push(payload);
      };
      const options = { ordered: true, concurrency: 2 };
      const running = consumer.run(handle, options);
      await until(() => begun.size === 2, "two handlers");
      const pausing = consumer.pause();
      pass.resolve();
      await arrives(pausing, "the pause");
      await until(() => consumer.health().inFlight === 0, "their acks");
      pass = Promise.withResolvers<void>();
      const before = done.length;
      assert.ok(before < 10);
      consumer.resume();
      await until(() => begun.size > before, "a handler");
      const closing = consumer.close();
      pass.resolve();
      await arrives(Promise.all([closing, running]), "the end of the first");
      const other = open(harness);
      const rest = other.consumer<string>(queue).run(handle, options);
      await until(() => done.length === 10, "all messages");
      await other.close();
      await arrives(rest, "the end of the second");
      assertInOrder(done, 2, 5);
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
    NEEDS,
  ),
  onStage(
    "run() in order is refused of a queue that is not ordered, with autoAck, and in batches",
    async ({ connection, ...stage }) => {
      const queue = orderedQueue(stage);
      const plain = connection.consumer(stage.queue());
      const handle = () => {};
      await assert.rejects(plain.run(handle, { ordered: true }), OptionError);
      const quick = connection.consumer(queue, { autoAck: true });
      await assert.rejects(quick.run(handle, { ordered: true }), OptionError);
      await assert.rejects(
        connection.consumer(queue).runBatches(handle),
        OptionError,
      );
    },
    NEEDS,
  ),
  onStage(
    "run() in order, and a publish with a key, are refused where the broker heeds none",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.send(queue, "x");
      await assert.rejects(connection.send(queue, "y", { key: "k" }), {
        code: "unsupported",
        message: /"key-order"/,
      });
      const consumer = connection.consumer(queue.name);
      await assert.rejects(
        arrives(consumer.run(() => {}, { ordered: true }), "the refusal"),
        { code: "unsupported", message: /"key-order"/ },
      );
    },
    { lacks: ["key-order", "key-fairness"] },
  ),
];

/** An ordered queue: SQS takes those alone that end so. */
function orderedQueue(
  stage: Omit<Stage, "connection">,
  options: ClassicQueueOptions = {},
): Queue {
  return stage.queue(
    { ...options, ordered: true },
    `${unique("ordered")}.fifo`,
  );
}

/** Texts such as `k2 7`, which begin with their keys: of so many keys so many each, all keys in turn. */
function textsOf(keys: number, each: number, first = 0): string[] {
  return Array.from({ length: keys * each }, (_, i) => {
    return `k${first + i % keys} ${Math.floor(i / keys)}`;
  });
}

function keyIn(text: string): string {
  return text.slice(0, text.indexOf(" "));
}

async function publishAll(
  connection: Connection,
  queue: Queue,
  texts: readonly string[],
): Promise<void> {
  const producer = connection.producer<string>({ queue });
  for (const text of texts) await producer.publish(text, { key: keyIn(text) });
}

/** Fails if the messages of a key are not all there, once and in order. */
function assertInOrder(
  texts: readonly string[],
  keys: number,
  each: number,
): void {
  const byKey = Object.groupBy(texts, keyIn);
  assert.equal(Object.keys(byKey).length, keys);
  for (const [key, found] of Object.entries(byKey)) {
    const all = Array.from({ length: each }, (_, i) => `${key} ${i}`);
    assert.deepEqual(found, all);
  }
}

/** A whole number from 0, by chance. */
function random(below: number): number {
  return Math.floor(Math.random() * below);
}
