import assert from "node:assert/strict";
import { DecodeError, type Message } from "../../mod.ts";
import { failedQueue } from "../../virtual/mod.ts";
import { arrives, asTheyCome, rejectsWith } from "./support.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, take } from "./stage.ts";

/** Handlers, unreadable messages, pools, failover, ends. */
export const RUNNING: readonly ConformanceCase[] = [
  onStage(
    "run() acks what its handler has done, so many at once",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      await Promise.all(
        Array.from(
          { length: 30 },
          (_, i) => producer.publish(i, { routingKey: queue.name }),
        ),
      );
      const consumer = connection.consumer<number>(queue);
      const seen: number[] = [];
      let active = 0;
      let most = 0;
      const running = consumer.run(async (message) => {
        most = Math.max(most, ++active);
        await connection.declare(queue);
        seen.push(message.payload);
        active--;
        if (seen.length === 30) {
          void consumer.cancel();
        }
      }, { concurrency: 4 });
      await arrives(running, "the end of run()");
      assert.equal(most, 4);
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        Array.from({ length: 30 }, (_, i) => i),
      );
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
  ),
  onStage(
    "with retry: false a handler that throws is called once, its message is a dead letter, and the next comes",
    async ({ connection, ...stage }) => {
      const dead = stage.queue();
      const queue = stage.queue({
        deadLetterExchange: "",
        deadLetterRoutingKey: dead.name,
      });
      const producer = connection.producer({ declare: [dead, queue] });
      for (const n of [1, 2, 3]) {
        await producer.publish(n, {
          routingKey: queue.name,
        });
      }
      const consumer = connection.consumer<number>(queue);
      const seen: number[] = [];
      await arrives(
        consumer.run((message) => {
          seen.push(message.payload);
          if (message.payload === 3) void consumer.cancel();
          if (message.payload === 2) throw new Error("bad luck");
        }, { retry: false }),
        "the end of run()",
      );
      assert.deepEqual(seen, [1, 2, 3]);
      assert.equal(consumer.health().lastError?.message, "bad luck");
      const [message] = await take(connection.consumer<number>(dead), 1);
      assert.equal(message?.payload, 2);
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "run() ends by its signal when its handlers have ended",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.producer({ declare: [queue] }).publish(1, {
        routingKey: queue.name,
      });
      const controller = new AbortController();
      let ended = false;
      const running = connection.consumer(queue).run(async () => {
        controller.abort();
        await connection.declare(queue);
        ended = true;
      }, { signal: controller.signal });
      await arrives(running, "the end of run()");
      assert.equal(ended, true);
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
  ),
  onStage(
    "a body that cannot be read is an error of its message, and the loop goes on",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const bad = new TextEncoder().encode('{"half":');
      await producer.publish(bad, {
        routingKey: queue.name,
        contentType: "application/json",
      });
      await producer.publish("x", {
        routingKey: queue.name,
        contentType: "application/x-evil",
      });
      await producer.publish("good", { routingKey: queue.name });
      const [first, second, third] = await take(connection.consumer(queue), 3);
      assert.throws(() => first?.payload, { code: "decode-failed" });
      assert.throws(() => first?.payload, { code: "decode-failed" });
      assert.deepEqual(first?.body, bad);
      assert.throws(() => second?.payload, { code: "content-disallowed" });
      assert.equal(third?.payload, "good");
    },
  ),
  onStage(
    "onInvalid gets what cannot be read, which is then parked",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, failedQueue(queue.name)); // it is parked there
      const producer = connection.producer({ declare: [queue] });
      await producer.publish("{", {
        routingKey: queue.name,
        contentType: "application/json",
      });
      await producer.publish("good", { routingKey: queue.name });
      const errors: [Error, Message<string>][] = [];
      const consumer = connection.consumer<string>(queue, {
        onInvalid: (error, message) => {
          errors.push([error, message]);
        },
      });
      const [message] = await take(consumer, 1);
      assert.equal(message?.payload, "good");
      assert.equal(errors.length, 1);
      assert.ok(errors[0]?.[0] instanceof DecodeError);
      assert.equal(errors[0]?.[1].settled, true);
    },
  ),
  onStage(
    "a consumer ends with its signal's very reason",
    async ({ connection, ...stage }) => {
      const controller = new AbortController();
      const reason = new Error("mine");
      const consumer = connection.consumer(stage.queue(), {
        signal: controller.signal,
      });
      const next = consumer[Symbol.asyncIterator]().next();
      controller.abort(reason);
      assert.equal(
        await arrives(next.catch((error) => error), "an end"),
        reason,
      );
    },
  ),
  onStage(
    "publish() and declare() reject with their signal's very reason",
    async ({ connection, ...stage }) => {
      const reason = new Error("mine");
      const signal = AbortSignal.abort(reason);
      const queue = stage.queue();
      const calls = [
        connection.producer().publish(1, { routingKey: "x", signal }),
        connection.declare(queue, { signal }),
        connection.connect({ signal }),
        connection.channel({ signal }),
      ];
      for (const call of calls) {
        assert.equal(await call.catch((error: unknown) => error), reason);
      }
    },
  ),
  onStage(
    "with autoAck a message needs no ack, and gets none",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      await Promise.all(
        Array.from(
          { length: 50 },
          (_, i) => producer.publish(i, { routingKey: queue.name }),
        ),
      );
      const consumer = connection.consumer<number>(queue, {
        autoAck: true,
        prefetch: 5,
      });
      const messages = await take(consumer, 50);
      assert.deepEqual(
        asTheyCome(messages.map(({ payload }) => payload), harness),
        asTheyCome(Array.from({ length: 50 }, (_, i) => i), harness),
      );
      assert.equal(messages[0]?.settled, true);
      await rejectsWith(
        messages[0]?.ack() ?? Promise.resolve(),
        "message-settled",
      );
    },
  ),
  onStage(
    "ack() multiple settles all before it",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      for (const n of [1, 2, 3]) {
        await producer.publish(n, {
          routingKey: queue.name,
        });
      }
      const consumer = connection.consumer(queue);
      const messages = await take(consumer, 3);
      await messages[2]?.ack({ multiple: true });
      await consumer[Symbol.asyncDispose]();
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 0);
    },
  ),
  onStage(
    "a pool lends connections, last in first out, up to its limit",
    async ({ connection, ...stage }) => {
      const pool = connection.pool({ limit: 2 });
      try {
        const [one, two] = [await pool.acquire(), await pool.acquire()];
        assert.notEqual(one, two);
        await rejectsWith(pool.acquire({ timeout: 20 }), "pool-exhausted", "2");
        const waiting = pool.acquire();
        await one.release();
        assert.equal(await arrives(waiting, "a connection"), one);
        await two.release();
        await one.release();
        await one.release(); // given back already: nothing happens
        assert.equal(pool.inUse, 0);
        assert.equal(await pool.acquire(), one);
        await one.producer({ declare: [stage.queue()] })[Symbol.asyncDispose]();
        await one.connect();
        // A consumer that the borrower forgot ends with the loan.
        const queue = stage.queue();
        const forgotten = one.consumer(queue)[Symbol.asyncIterator]().next();
        await one.declare(queue);
        await one.release();
        assert.equal((await arrives(forgotten, "the end")).done, true);
        // A closed one is replaced.
        const three = await pool.acquire();
        await three.close();
        assert.equal(pool.inUse, 0);
        const four = await pool.acquire();
        assert.notEqual(three, four);
        await four.connect();
      } finally {
        await pool[Symbol.asyncDispose]();
      }
      await rejectsWith(pool.acquire(), "use-after-close");
    },
  ),
  onStage(
    "release() of a connection of no pool closes it",
    async (_, harness) => {
      const connection = open(harness);
      await connection.connect();
      await connection.release();
      assert.equal(connection.connected, false);
      assert.equal(connection.state.type, "closed");
      await rejectsWith(connection.connect(), "use-after-close");
      await connection.close();
    },
  ),
  onStage(
    "what a closed connection is asked to send is told not to be sent",
    async (stage, harness) => {
      const queue = stage.queue();
      const connection = open(harness);
      await connection.declare(queue);
      const producer = connection.producer({ queue });
      await connection.close();
      for (
        const call of [
          () => connection.send(queue, 1),
          () => producer.publish(1),
          () => connection.request(1, { routingKey: queue.name }),
          () => connection.redrive(queue.name),
          () => connection.schedule("closed", { every: 1000 }, { queue }),
          () => connection.declare(queue),
        ]
      ) {
        const error = await rejectsWith(call(), "use-after-close");
        assert.ok("outcome" in error, `${error}`);
        assert.equal(error.outcome, "not-sent", `${error}`);
      }
    },
  ),
  onStage("a connection tells what happens to it", async (_, harness) => {
    const connection = open(harness);
    const types: string[] = [];
    const iterator = connection.events()[Symbol.asyncIterator]();
    const first = iterator.next();
    const heard = (async () => {
      for (
        let result = await first;
        !result.done;
        result = await iterator.next()
      ) {
        const { value } = result;
        types.push(value.type === "state" ? value.state.type : value.type);
      }
    })();
    await connection.connect();
    await connection.close();
    await arrives(heard, "the end of the events");
    assert.deepEqual(types, ["connecting", "open", "closed"]);
  }),
  onStage(
    "close() waits for what is in flight",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const other = open(harness);
      const producer = other.producer();
      const sent = Array.from(
        { length: 200 },
        (_, i) => producer.publish(i, { routingKey: queue.name }),
      );
      await sent[0];
      await other.close();
      await Promise.all(sent);
      const status = await connection.declare(queue);
      assert.equal(status.messageCount, 200);
      await rejectsWith(
        producer.publish(1, { routingKey: queue.name }),
        "use-after-close",
      );
    },
  ),
  onStage(
    "maxInFlight bounds what waits for the broker, and all of it is sent",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer({
        declare: [queue],
        maxInFlight: 3,
      });
      let most = 0;
      await Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const sent = producer.publish(i, { routingKey: queue.name });
          most = Math.max(most, producer.inFlight);
          await sent;
          most = Math.max(most, producer.inFlight);
        }),
      );
      assert.equal(most, 3);
      const messages = await take(connection.consumer<number>(queue), 100);
      assert.deepEqual(
        asTheyCome(messages.map(({ payload }) => payload), harness),
        asTheyCome(Array.from({ length: 100 }, (_, i) => i), harness),
      );
    },
  ),
  onStage("a simple queue puts and gets", async ({ connection, ...stage }) => {
    const { name } = stage.queue();
    const queue = connection.simpleQueue<{ n: number }>(name);
    assert.equal(await queue.getNoWait(), undefined);
    await queue.put({ n: 1 });
    await queue.put({ n: 2 });
    assert.equal(await queue.size(), 2);
    const message = await queue.get();
    assert.deepEqual(message.payload, { n: 1 });
    await message.ack();
    assert.equal(await queue.clear(), 1);
    await queue[Symbol.asyncDispose]();
    const channel = await connection.channel();
    await channel.deleteExchange(name);
  }),
];
