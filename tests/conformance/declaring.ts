import assert from "node:assert/strict";
import {
  binding,
  type Exchange,
  type ExchangeBinding,
  type Message,
  Queue,
} from "../../mod.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { onStage, type Stage, take } from "./stage.ts";
import {
  arrives,
  inTime,
  isRefused,
  patience,
  rejectsWith,
  soon,
} from "./support.ts";

/** Waits until a queue's message has come, and takes it. */
async function first(
  { connection }: Pick<Stage, "connection">,
  queue: Queue | string,
): Promise<unknown> {
  const [message] = await take(connection.consumer(queue), 1);
  await message?.ack();
  return message?.payload;
}

/** Acks what comes, until it is what was waited for. */
async function untilPayload(
  consumer: AsyncIterable<Message<number>>,
  payload: number,
): Promise<void> {
  for await (const message of consumer) {
    await message.ack();
    if (message.payload === payload) return;
  }
  assert.fail("the consumer ended");
}

/** A queue that takes from `inner`, which takes from the returned exchange. */
function chain(stage: Stage): { readonly outer: Exchange; queue: Queue } {
  const outer = stage.exchange({ type: "topic" });
  const inner = stage.exchange({
    type: "topic",
    bindings: [binding(outer, "a.#")],
  });
  return { outer, queue: stage.queue({ exchange: inner, routingKey: "#" }) };
}

/** Entities are declared with those that they name; deleted entities, and those that have gone, are not declared again. */
export const DECLARING: readonly ConformanceCase[] = [
  onStage(
    "a list is declared with its exchanges first, and tells the status of each queue in order",
    async (stage) => {
      const exchange = stage.exchange({ type: "topic" });
      const queues = Array.from(
        { length: 12 },
        (_, i) =>
          stage.queue({ exchange: exchange.name, routingKey: `k.${i}` }),
      );
      const [one, two] = queues;
      assert.ok(one !== undefined && two !== undefined);
      const dead = stage.queue();
      const list = [...queues, exchange, dead, one];
      const statuses = await stage.connection.declare(list);
      assert.deepEqual(
        statuses.map(({ name }) => name),
        [...queues, dead, one].map(({ name }) => name),
      );
      const producer = stage.connection.producer({ exchange });
      await producer.publish("to the second", { routingKey: "k.1" });
      assert.equal(await first(stage, two.name), "to the second");
    },
  ),
  onStage(
    "a list with one entity that is refused rejects with its name, and the connection goes on",
    async (stage) => {
      const refused = stage.queue();
      await stage.connection.declare(refused);
      const queues = Array.from({ length: 5 }, () => stage.queue());
      const otherwise = new Queue(refused.name, { durable: false });
      const declaring = stage.connection.declare([
        ...queues.slice(0, 3),
        otherwise,
        ...queues.slice(3),
      ]);
      await rejectsWith(declaring, "precondition-failed", refused.name);
      const statuses = await stage.connection.declare([...queues, refused]);
      assert.equal(statuses.length, 6);
    },
  ),
  onBroker(
    "of declarations at once that contradict each other those that are not as the first are precondition-failed",
    async (broker) => {
      const queue = broker.queueOf();
      const channels = await Promise.all(
        Array.from({ length: 6 }, () => broker.openChannel()),
      );
      const isOther = (i: number) => i % 2 === 1;
      const declared = await Promise.allSettled(
        channels.map((channel, i) =>
          channel.declareQueue({ ...queue, autoDelete: isOther(i) }, soon())
        ),
      );
      const holds = declared.findIndex(({ status }) => status === "fulfilled");
      for (const [i, each] of declared.entries()) {
        assert.equal(
          each.status === "rejected" ? each.reason.code : each.status,
          isOther(i) === isOther(holds) ? "fulfilled" : "precondition-failed",
        );
      }
    },
  ),
  onStage(
    "an exchange's own bindings are declared through connection.declare(queue)",
    async (stage) => {
      const { outer, queue } = chain(stage);
      await stage.connection.declare(queue);
      const producer = stage.connection.producer({ exchange: outer.name });
      await producer.publish("through both", { routingKey: "a.b" });
      assert.equal(await first(stage, queue.name), "through both");
    },
    { needs: ["exchange-to-exchange"] },
  ),
  onStage(
    "an exchange's own bindings are declared through a producer's list",
    async (stage) => {
      const { outer, queue } = chain(stage);
      const producer = stage.connection.producer({
        exchange: outer,
        declare: [queue],
      });
      await producer.publish("listed", { routingKey: "a.b" });
      assert.equal(await first(stage, queue.name), "listed");
    },
    { needs: ["exchange-to-exchange"] },
  ),
  onStage(
    "an exchange's own bindings are declared through a consumer's queue",
    async (stage) => {
      const { outer, queue } = chain(stage);
      const iterator = stage.connection.consumer(queue)[Symbol.asyncIterator]();
      const next = iterator.next();
      next.catch(() => {});
      const producer = stage.connection.producer();
      for (const wait = patience("the exchange");; await wait()) {
        // Until the consumer has declared it there is no such exchange.
        const error = await producer.publish("consumed", {
          exchange: outer.name,
          routingKey: "a.b",
          mandatory: true,
        }).catch((error) => error);
        if (error === undefined) break;
        assert.match(String(error.code), /not-found|message-unroutable/);
      }
      const { value } = await arrives(next, "the message");
      assert.equal(value?.payload, "consumed");
      await value?.ack();
      await iterator.return?.();
    },
    { needs: ["exchange-to-exchange"] },
  ),
  onStage(
    "an exchange's own bindings are declared through a simple queue's queue",
    async (stage) => {
      const { outer, queue } = chain(stage);
      const simple = stage.connection.simpleQueue(queue);
      assert.equal(await simple.size(), 0);
      const producer = stage.connection.producer({ exchange: outer.name });
      await producer.publish("simple", { routingKey: "a.b" });
      assert.equal(await first(stage, queue.name), "simple");
      await simple[Symbol.asyncDispose]();
    },
    { needs: ["exchange-to-exchange"] },
  ),
  onStage(
    "exchanges bound to exchanges are declared however deep, and in a ring",
    async (stage) => {
      const bindings: ExchangeBinding[] = [];
      const one = stage.exchange({ type: "topic", bindings });
      const two = stage.exchange({
        type: "topic",
        bindings: [binding(one, "#")],
      });
      const three = stage.exchange({
        type: "topic",
        bindings: [binding(two, "#")],
      });
      bindings.push(binding(three, "#"));
      const queue = stage.queue({ bindings: [binding(three, "#")] });
      await stage.connection.declare(queue);
      const producer = stage.connection.producer({ exchange: one.name });
      await producer.publish("far");
      assert.equal(await first(stage, queue.name), "far");
    },
    { needs: ["exchange-to-exchange"] },
  ),
  onStage(
    "an Exchange as deadLetterExchange is declared with its queue",
    async (stage) => {
      const rejected = stage.exchange({ type: "topic" });
      const queue = stage.queue({ deadLetterExchange: rejected });
      await stage.connection.declare(queue);
      const graveyard = stage.queue({
        exchange: rejected.name,
        routingKey: "#",
      });
      await stage.connection.declare(graveyard);
      const producer = stage.connection.producer();
      await producer.publish("bad", { routingKey: queue.name });
      const [message] = await take(stage.connection.consumer(queue.name), 1);
      await message?.reject();
      assert.equal(await first(stage, graveyard.name), "bad");
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "the bindings of an Exchange as deadLetterExchange are declared, too",
    async (stage) => {
      const all = stage.exchange({ type: "topic" });
      const graveyard = stage.queue({ exchange: all, routingKey: "#" });
      await stage.connection.declare(graveyard);
      const source = stage.exchange({ type: "topic" });
      const rejected = stage.exchange({
        type: "topic",
        bindings: [binding(source, "#")],
      });
      const queue = stage.queue({ deadLetterExchange: rejected });
      const last = stage.queue({ exchange: rejected.name, routingKey: "#" });
      await stage.connection.declare([queue, last]);
      const producer = stage.connection.producer({ exchange: source.name });
      await producer.publish("by its source");
      assert.equal(await first(stage, last.name), "by its source");
    },
    { needs: ["dead-letter", "exchange-to-exchange"] },
  ),
  onStage(
    "an Exchange as alternateExchange is declared, and takes what matches nothing",
    async (stage) => {
      const rest = stage.exchange({ type: "topic" });
      const exchange = stage.exchange({ alternateExchange: rest });
      const queue = stage.queue({ exchange, routingKey: "known" });
      await stage.connection.declare(queue);
      const others = stage.queue({ exchange: rest.name, routingKey: "#" });
      await stage.connection.declare(others);
      const producer = stage.connection.producer({ exchange: exchange.name });
      await producer.publish("other", { routingKey: "unknown" });
      assert.equal(await first(stage, others.name), "other");
    },
  ),
  onStage(
    "an auto-delete queue that went with its last consumer is declared when it is consumed again",
    async (stage) => {
      const exchange = stage.exchange({ type: "topic" });
      const queue = stage.queue({
        autoDelete: true,
        exchange,
        routingKey: "#",
      });
      const producer = stage.connection.producer({ exchange });
      const consumer = stage.connection.consumer<number>(queue);
      for (const round of [1, 2, 3]) {
        // The third time by another object.
        const loop = untilPayload(
          round < 3 ? consumer : stage.connection.consumer<number>(queue),
          round,
        );
        let over = false;
        const publishing = (async () => {
          while (!over) {
            // The queue of the round before is just going.
            await producer.publish(round).catch((error) => {
              if (!isRefused(error)) throw error;
            });
          }
        })();
        try {
          await arrives(loop, `the message of round ${round}`);
        } finally {
          over = true;
          await publishing;
        }
      }
    },
  ),
  onStage(
    "a queue that has expired is declared when it is consumed again",
    async (stage) => {
      await inTime([1300, 8000], async (expires) => {
        const queue = stage.queue({ expires });
        const consumer = stage.connection.consumer<number>(queue);
        const producer = stage.connection.producer({ declare: [queue] });
        await producer.publish(1, { routingKey: queue.name });
        const [before] = await take(consumer, 1);
        await before?.ack();
        for (let i = 0;; i++) {
          assert.ok(i < 8, "it has not expired");
          const channel = await stage.connection.channel();
          const error = await channel.checkQueue(queue.name, soon()).then(
            () => undefined,
            (error) => error,
          );
          await channel[Symbol.asyncDispose]();
          if (error !== undefined) break;
          // To look at it is to use it.
          await new Promise((resolve) => setTimeout(resolve, expires + 700));
        }
        const loop = take(consumer, 1);
        loop.catch(() => {});
        await producer.publish(2, { routingKey: queue.name });
        const [message] = await loop;
        assert.equal(message?.payload, 2);
        await message?.ack();
      });
    },
    { needs: ["queue-ttl", "known-queues"] },
  ),
  onStage(
    "a binding that was removed, and a queue that was deleted, by a channel of the connection are not declared again by another entity",
    async (stage) => {
      const exchange = stage.exchange({ type: "topic" });
      const one = stage.queue({ exchange, routingKey: "#" });
      const two = stage.queue();
      await stage.connection.declare([one, two]);
      const channel = await stage.connection.channel();
      await channel.unbind({
        source: exchange.name,
        destination: { kind: "queue", name: one.name },
        routingKey: "#",
        arguments: {},
      }, soon());
      await channel.deleteQueue(two.name, soon());
      // A message that comes back lets the connection declare all of its own again.
      const three = stage.queue();
      await stage.connection.declare(three);
      await channel.deleteQueue(three.name, soon());
      const producer = stage.connection.producer();
      await rejectsWith(
        producer.publish("nowhere", { routingKey: three.name }),
        "message-unroutable",
      );
      await rejectsWith(
        producer.publish("nowhere", { routingKey: two.name }),
        "message-unroutable",
      );
      await producer.publish("unbound", { exchange: exchange.name });
      assert.equal(
        (await channel.checkQueue(one.name, soon())).messageCount,
        0,
      );
    },
    { needs: ["known-queues"] },
  ),
];
