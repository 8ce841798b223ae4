import assert from "node:assert/strict";
import { ChannelError, Queue } from "../../mod.ts";
import { isStoreTransport } from "../../transports/store/mod.ts";
import type { Publishing, PublishOutcome } from "../../transports/transport.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onBroker, onHarness } from "./case.ts";
import { withParts } from "./parts.ts";
import { onStage, open, take } from "./stage.ts";
import { patience, publishing, rejectsWith, soon, unique } from "./support.ts";

/** Publishes a text with a mark. */
function publishOnce(
  broker: Broker,
  [exchange, routingKey, text]: readonly [string, string, string],
  { id = "order-7", window = 60_000, token = unique("token") } = {},
  options: Partial<Publishing> = {},
): Promise<PublishOutcome> {
  const dedupe = { id, window, token };
  return broker.channel.publish(
    publishing(exchange, routingKey, text, { ...options, dedupe }),
    soon(),
  );
}

/** Messages that are published once. */
export const DEDUPING: readonly ConformanceCase[] = [
  onBroker(
    "a second message of the same id, exchange and key is a duplicate, and put nowhere",
    async (broker) => {
      const [queue, other] = [await broker.queue(), await broker.queue()];
      const exchange = await broker.exchange("topic");
      await broker.bind(queue, exchange, "#");
      const first = await publishOnce(broker, ["", queue, "first"]);
      assert.equal(first.type, "accepted");
      const second = await publishOnce(broker, ["", queue, "second"]);
      assert.equal(second.type, "duplicate");
      // Another id, queue, exchange or key is another message.
      for (
        const [place, id] of [
          [["", queue, "id"], "order-8"],
          [["", other, "queue"], "order-7"],
          [[exchange, queue, "exchange"], "order-7"],
          [[exchange, "a/b", "key"], "order-7"],
          [[exchange, "a", "key and id"], "b/order-7"],
        ] as const
      ) {
        const outcome = await publishOnce(broker, place, { id });
        assert.equal(outcome.type, "accepted", place[2]);
      }
      assert.deepEqual((await broker.drain(queue)).toSorted(), [
        "exchange",
        "first",
        "id",
        "key",
        "key and id",
      ]);
      assert.deepEqual(await broker.drain(other), ["queue"]);
    },
    { needs: ["dedupe"] },
  ),
  onBroker(
    "a message is known as published when it is handled, and after it",
    async (broker) => {
      const queue = await broker.queue();
      await publishOnce(broker, ["", queue, "first"]);
      const { deliveryTag } = await broker.getSoon(queue);
      const held = await publishOnce(broker, ["", queue, "second"]);
      assert.equal(held.type, "duplicate");
      await broker.channel.ack(deliveryTag, soon());
      const acked = await publishOnce(broker, ["", queue, "third"]);
      assert.equal(acked.type, "duplicate");
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["dedupe"] },
  ),
  onBroker(
    "after its window a message of the same id is another one",
    async (broker) => {
      const queue = await broker.queue();
      const window = 500;
      const began = performance.now();
      await publishOnce(broker, ["", queue, "first"], { window });
      // As soon as it is accepted: it may be late, and must not be early.
      const wait = patience("the end of the window");
      for (;;) {
        const again = await publishOnce(broker, ["", queue, "next"], {
          window,
        });
        if (again.type === "accepted") break;
        await wait();
      }
      assert.ok(performance.now() - began >= window - 1);
      assert.deepEqual(await broker.drain(queue), ["first", "next"]);
    },
    { needs: ["dedupe"], ordered: true },
  ),
  onBroker(
    "a message that is published again, for its answer was lost, is no duplicate of itself",
    async (broker) => {
      const queue = await broker.queue();
      const token = unique("token");
      await publishOnce(broker, ["", queue, "first"], { token });
      const again = await publishOnce(broker, ["", queue, "first"], { token });
      assert.equal(again.type, "accepted");
      assert.deepEqual(await broker.drain(queue), ["first"]);
      const third = await publishOnce(broker, ["", queue, "first"], { token });
      assert.equal(third.type, "accepted");
      assert.deepEqual(await broker.drain(queue), []);
    },
    { needs: ["dedupe"] },
  ),
  onBroker(
    "of many that publish the same at once one is accepted",
    async (broker) => {
      const queue = await broker.queue();
      const outcomes = await Promise.all(
        Array.from(
          { length: 20 },
          () => publishOnce(broker, ["", queue, "x"]),
        ),
      );
      const accepted = outcomes.filter(({ type }) => type === "accepted");
      assert.equal(accepted.length, 1);
      assert.deepEqual(await broker.drain(queue), ["x"]);
    },
    { needs: ["dedupe"] },
  ),
  onBroker(
    "a message that is returned, or reaches nobody, leaves no mark",
    async (broker) => {
      const name = unique("queue");
      const back = await publishOnce(broker, ["", name, "x"], {}, {
        mandatory: true,
      });
      assert.equal(back.type, "returned");
      const exchange = await broker.exchange("direct");
      await publishOnce(broker, [exchange, "k", "nobody"]);
      const queue = await broker.queue();
      await broker.bind(queue, exchange, "k");
      const taken = await publishOnce(broker, [exchange, "k", "x"]);
      assert.equal(taken.type, "accepted");
      assert.deepEqual(await broker.drain(queue), ["x"]);
      await broker.queue({ name });
      const now = await publishOnce(broker, ["", name, "x"]);
      assert.equal(now.type, "accepted");
    },
    { needs: ["dedupe", "known-queues"] },
  ),
  onBroker(
    "a message that a full queue refuses leaves no mark",
    async (broker) => {
      const queue = await broker.queue({
        arguments: { "x-max-length": 1, "x-overflow": "reject-publish" },
      });
      await broker.put(queue, "full");
      await rejectsWith(
        publishOnce(broker, ["", queue, "x"]),
        "publish-refused",
      );
      assert.deepEqual(await broker.drain(queue), ["full"]);
      const taken = await publishOnce(broker, ["", queue, "x"]);
      assert.equal(taken.type, "accepted");
      // It is full again; the message is known all the same.
      const again = await publishOnce(broker, ["", queue, "x"]);
      assert.equal(again.type, "duplicate");
      assert.deepEqual(await broker.drain(queue), ["x"]);
    },
    { needs: ["dedupe", "length-limit"] },
  ),
  onBroker(
    "a message that is retried or dead-lettered is no duplicate of itself",
    async (broker) => {
      const dead = await broker.queue();
      const queue = await broker.queue({
        arguments: {
          "x-dead-letter-exchange": "",
          "x-dead-letter-routing-key": dead,
        },
      });
      await publishOnce(broker, ["", queue, "x"]);
      const first = await broker.getSoon(queue);
      await broker.channel.reject(first.deliveryTag, {
        requeue: true,
        headers: { attempt: 2 },
        ...soon(),
      });
      const second = await broker.getSoon(queue);
      await broker.channel.reject(second.deliveryTag, {
        requeue: false,
        ...soon(),
      });
      assert.deepEqual(await broker.drain(dead), ["x"]);
    },
    { needs: ["dedupe", "dead-letter"] },
  ),
  onStage(
    "publish() with dedupe tells whether the message was a duplicate, over connections, with a delay too",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const other = open(harness);
      const options = { messageId: "7", dedupe: { window: 60_000 } };
      const here = await connection.send(queue, "here", options);
      assert.deepEqual(here, { duplicate: false });
      const there = await other.send(queue, "there", options);
      assert.deepEqual(there, { duplicate: true });
      const producer = other.producer<string>({
        declare: [queue],
        routingKey: queue.name,
        dedupe: { window: 60_000 },
      });
      const delayed = { messageId: "8", delay: 20 };
      await producer.publish("delayed", delayed);
      await producer.publish("delayed too", delayed);
      const all = await producer.publishAll(["a", "b", "a"], {
        each: (messageId) => ({ messageId }),
      });
      assert.deepEqual(all, {
        published: 3,
        duplicates: 1,
        failed: [],
        complete: true,
      });
      const seen = await take(connection.consumer(queue), 4);
      assert.deepEqual(seen.map(({ payload }) => payload).toSorted(), [
        "a",
        "b",
        "delayed",
        "here",
      ]);
      const { messageCount } = await connection.declare(queue);
      assert.equal(messageCount, 0);
      await other.close();
    },
    { needs: ["dedupe", "delay"] },
  ),
  onHarness(
    "a publish with dedupe whose answer is lost is published again, once, and is no duplicate",
    async (harness) => {
      const { transport } = harness;
      assert.ok(isStoreTransport(transport));
      let losses = 0;
      const wrapped = transport.wrapping((store) =>
        withParts(store, {}, async (verb, call) => {
          const result = await call();
          const isPut = verb === "messages.put" &&
            Object(result).type === "put";
          if (!isPut || ++losses > 1) return result;
          throw new ChannelError("The case loses the answer", {
            code: "channel-closed",
            outcome: "unknown",
          });
        })
      );
      const connection = open({ ...harness, transport: wrapped });
      const queue = new Queue(unique("queue"));
      try {
        const dedupe = { id: "7", window: 60_000 };
        assert.deepEqual(
          await connection.send(queue, "x", { dedupe }),
          { duplicate: false },
        );
        assert.equal(losses, 2);
        assert.deepEqual(
          await connection.send(queue, "x", { dedupe }),
          { duplicate: true },
        );
        const { messageCount } = await connection.declare(queue);
        assert.equal(messageCount, 1);
      } finally {
        const channel = await connection.channel();
        await channel.deleteQueue(queue.name, soon());
        await connection.close();
      }
    },
    { needs: ["dedupe"], wraps: true },
  ),
  onStage("dedupe is refused where there is none", async (stage) => {
    const queue = stage.queue();
    const dedupe = { id: "7", window: 60_000 };
    for (const delay of [0, 1000]) {
      await rejectsWith(
        stage.connection.send(queue, "x", { dedupe, delay }),
        "unsupported",
        '"dedupe"',
      );
    }
    await stage.connection.send(queue, "the connection lives");
  }, { lacks: ["dedupe"] }),
];
