import assert from "node:assert/strict";
import type { ConnectionEvent } from "../../mod.ts";
import { Queue } from "../../mod.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { rejectsWith, soon, textOf, unique } from "./support.ts";

/** A letter was left out. */
const misspelt = (name: string) => name.slice(0, -3) + name.slice(-2);

/** Names of queues that are not there, and messages that reach nobody. */
export const NAMING: readonly ConformanceCase[] = [
  onStage(
    "a misspelt queue rejects with the name that was meant, and what to do",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const wrong = misspelt(queue.name);
      for (const options of [{}, { mandatory: true }]) {
        const published = connection.producer()
          .publish(1, { routingKey: wrong, ...options });
        for (
          const text of [
            `"${wrong}"`,
            `did you mean "${queue.name}"`,
            "declare it first",
            "mandatory: false",
          ]
        ) await rejectsWith(published, "message-unroutable", text);
      }
      const named = connection.queue(wrong);
      for (
        const [verb, call] of [
          ["consume from", () => take(connection.consumer(wrong), 1)],
          ["get from", () => named.get()],
          ["check", () => named.status()],
          ["purge", () => named.purge()],
        ] as const
      ) {
        const text =
          `Cannot ${verb} queue "${wrong}": there is no such queue; did you mean "${queue.name}"? Else declare it first`;
        await rejectsWith(call(), "not-found", text);
      }
      assert.equal(
        (await connection.queue(queue.name).status()).name,
        queue.name,
      );
    },
    { needs: ["known-queues"] },
  ),
  onBroker(
    "a queue that was declared elsewhere a moment ago is known, though it was not before",
    async (broker) => {
      const { channel } = await broker.openElsewhere();
      const queue = broker.queueOf();
      const publish = () =>
        broker.publish("", queue.name, "x", { mandatory: true });
      assert.equal((await publish()).type, "returned");
      await channel.declareQueue(queue, soon());
      assert.equal((await publish()).type, "accepted");
      const collector = await broker.consume(queue.name);
      assert.equal(textOf(await collector.next()), "x");
      await channel.deleteQueue(queue.name, soon());
      assert.equal((await publish()).type, "returned");
    },
    { needs: ["known-queues", "shared-topology"] },
  ),
  onBroker(
    "publish() to a queue that need not be there is accepted",
    async (broker) => {
      const missing = unique("missing");
      const publish = (mandatory: boolean) =>
        broker.publish("", missing, "x", { mandatory });
      for (let i = 0; i < 2; i++) {
        assert.equal((await publish(false)).type, "accepted");
      }
      // Some brokers have kept it, and some have not.
      const { type } = await publish(true);
      const channel = await broker.openChannel();
      if (type === "accepted") await channel.deleteQueue(missing, soon());
      else await rejectsWith(channel.checkQueue(missing, soon()), "not-found");
    },
  ),
  onStage(
    "a message that must be in a queue is refused where the broker does not know its queues",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      for (const isConnected of [false, true]) {
        await rejectsWith(
          connection.producer()
            .publish(1, { routingKey: queue.name, mandatory: true }),
          "unsupported",
          "known-queues",
        );
        if (!isConnected) await connection.declare(queue);
      }
      await connection.producer().publish(2, { routingKey: queue.name });
      const [message] = await take(connection.consumer(queue), 1);
      assert.equal(message?.payload, 2);
    },
    { lacks: ["known-queues"] },
  ),
  onStage(
    "a message that reached no queue is told of where the broker tells, unless that was meant",
    async (stage, harness) => {
      const exchange = stage.exchange({ type: "topic" });
      const events: ConnectionEvent[] = [];
      const connection = open(harness, {
        onUnhandled: (event) => events.push(event),
      });
      try {
        const producer = connection.producer({ exchange });
        await producer.publish(1, { routingKey: "x", mandatory: false });
        await producer.publish(2, { routingKey: "y", messageId: "m" });
        const channel = await connection.channel();
        const outcome = await channel.publish({
          exchange: exchange.name,
          routingKey: "x",
          mandatory: false,
          delay: 0,
          properties: {},
          body: new Uint8Array(),
        }, soon());
        const isTold = outcome.type === "accepted" && outcome.queues === 0;
        assert.deepEqual(
          events.filter(({ type }) => type === "unroutable"),
          isTold
            ? [{
              type: "unroutable",
              exchange: exchange.name,
              routingKey: "y",
              messageId: "m",
            }]
            : [],
        );
      } finally {
        await connection.close();
      }
    },
  ),
  onStage(
    "a consumer by its name goes on when its queue is declared at last",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await rejectsWith(
        take(connection.consumer(queue.name), 1),
        "not-found",
        queue.name,
      );
      await connection.send(new Queue(queue.name), "at last");
      const [message] = await take(connection.consumer(queue.name), 1);
      assert.equal(message?.payload, "at last");
    },
    { needs: ["known-queues"] },
  ),
];
