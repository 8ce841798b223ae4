import assert from "node:assert/strict";
import { Queue } from "../../mod.ts";
import { Broker, connect } from "./broker.ts";
import { arrives, publishing, soon, textOf } from "./support.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import { onStage, open } from "./stage.ts";

/** The broker goes away and comes back. */
export const RECOVERY: readonly ConformanceCase[] = [
  onHarness(
    "a restart of the broker settles closed as lost, and pending calls",
    async (harness) => {
      const broker = await Broker.open(harness);
      const queue = await broker.queue();
      const collector = await broker.consume(queue);
      await harness.restart?.();
      const connection = await arrives(broker.connection.closed, "closed");
      assert.equal(connection.type, "lost");
      assert.equal(
        (await arrives(broker.channel.closed, "closed")).type,
        "lost",
      );
      assert.ok(collector.subscription !== undefined);
      assert.equal(
        (await arrives(collector.subscription.ended, "ended")).type,
        "lost",
      );
      await broker[Symbol.asyncDispose]();
    },
    { restarts: true },
  ),
  onHarness(
    "persistent messages in durable queues outlive a restart",
    async (harness) => {
      const broker = await Broker.open(harness);
      const queue = await broker.queue();
      const properties = { deliveryMode: "persistent" } as const;
      await broker.channel.publish(
        publishing("", queue, "kept", { properties }),
        soon(),
      );
      await harness.restart?.();
      const connection = await connect(harness);
      const channel = await connection.openChannel(soon());
      const delivery = await channel.get(queue, soon());
      assert.equal(new TextDecoder().decode(delivery?.body), "kept");
      await connection[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
    { restarts: true, needs: ["persistence"] },
  ),
  onHarness(
    "a delayed message outlives a restart, and comes in its time",
    async (harness) => {
      const broker = await Broker.open(harness);
      const queue = await broker.queue();
      const began = performance.now();
      await broker.channel.publish(
        publishing("", queue, "kept", {
          delay: 4000,
          properties: { deliveryMode: "persistent" },
        }),
        soon(),
      );
      await harness.restart?.();
      const after = await Broker.open(harness);
      const collector = await after.consume(queue);
      // RabbitMQ tries again what has found its queue not there yet: the tests' own after
      // 20 s, or after a minute.
      assert.equal(textOf(await collector.next(120_000)), "kept");
      assert.ok(performance.now() - began >= 3999);
      await after[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
    { restarts: true, needs: ["persistence", "delay"] },
  ),
  onStage(
    "consumers and producers go on after a restart, with all that was declared",
    async ({ connection, ...stage }, harness) => {
      const exchange = stage.exchange({ type: "topic", durable: false });
      const queue = stage.queue({
        exchange,
        routingKey: "#",
        durable: false,
        exclusive: true,
        autoDelete: false,
      });
      const replies = new Queue("", {
        exchange,
        routingKey: "reply",
        exclusive: true,
      });
      const other = open(harness);
      try {
        await connection.declare([queue, replies]);
        const iterator = connection.consumer<number>(queue)
          [Symbol.asyncIterator]();
        const producer = connection.producer({ exchange });
        await producer.publish(1, { routingKey: "a" });
        const first = await arrives(iterator.next(), "a message");
        const held = first.value;
        assert.ok(held !== undefined);
        await harness.restart?.();
        await producer.publish(2, { routingKey: "a" });
        const next = () =>
          arrives(iterator.next(), "a message after the restart");
        let second = await next();
        if (second.value?.payload === 1) {
          // The queue has outlived the restart, and the first message with it. Not
          // every broker remembers over it what it had given out.
          await second.value.ack();
          second = await next();
        }
        assert.equal(second.value?.payload, 2);
        await second.value?.ack();
        assert.equal(held.signal.aborted, true);
        const error = await held.ack().catch((caught: unknown) => caught);
        assert.ok(error instanceof Error && "code" in error);
        assert.equal(error.code, "lease-lost");
        await iterator.return?.();
      } finally {
        await other.close();
      }
    },
    { restarts: true, needs: ["exclusive"] },
  ),
  onStage(
    "a publish waits for the broker to come back",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      await producer.publish(0, { routingKey: queue.name });
      let isThere = false;
      const restarting = (async () => {
        await harness.restart?.();
        isThere = true;
      })();
      const sent: Promise<void>[] = [];
      const publish = () =>
        producer.publish(sent.length, {
          routingKey: queue.name,
          timeout: 60_000,
        });
      // Some are on their way when the broker ends, and some come while it is away.
      while (!isThere && sent.length < 1000) {
        sent.push(publish());
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await restarting;
      await Promise.all(sent);
      const status = await connection.declare(queue);
      assert.ok((status.messageCount ?? 0) >= sent.length + 1);
    },
    { restarts: true, needs: ["persistence"] },
  ),
];
