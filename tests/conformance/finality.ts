import assert from "node:assert/strict";
import type { Channel, Delivery } from "../../transports/transport.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { withDeadLetters } from "./deaths.ts";
import { arrives, Collector, soon, textOf, unique, until } from "./support.ts";

/** Ways to be done with the only message of a queue. */
const WAYS: readonly (readonly [
  what: string,
  settle: (channel: Channel, queue: string) => Promise<void>,
])[] = [
  ["acked", async (channel, queue) => {
    await channel.ack((await held(channel, queue)).deliveryTag, soon());
  }],
  ["rejected", async (channel, queue) => {
    const { deliveryTag } = await held(channel, queue);
    await channel.reject(deliveryTag, { requeue: false, ...soon() });
  }],
  ["acked with `multiple`", async (channel, queue) => {
    const { deliveryTag } = await held(channel, queue);
    await channel.ack(deliveryTag, { multiple: true, ...soon() });
  }],
  ["rejected with `multiple`", async (channel, queue) => {
    const { deliveryTag } = await held(channel, queue);
    const options = { requeue: false, multiple: true, ...soon() };
    await channel.reject(deliveryTag, options);
  }],
  ["taken by get() with noAck", async (channel, queue) => {
    await channel.get(queue, { noAck: true, ...soon() });
  }],
  ["consumed with noAck", async (channel, queue) => {
    const collector = new Collector();
    const options = { prefetch: 1, noAck: true, ...soon() };
    await channel.consume(queue, collector.deliver, options);
    await collector.next();
  }],
];

/** A message that is done with stays so, whatever ends afterwards. */
export const FINALITY: readonly ConformanceCase[] = [
  ...WAYS.map(([what, settle]) =>
    onBroker(
      `a message that was ${what} does not come back when its channel and connection are closed`,
      async (broker) => {
        const queue = await broker.queue();
        await broker.put(queue, "x");
        const { connection, channel } = await broker.openElsewhere();
        await settle(channel, queue);
        await channel[Symbol.asyncDispose]();
        await connection[Symbol.asyncDispose]();
        await onlyNew(broker, queue);
      },
    )
  ),
  onBroker(
    "a message that was dead-lettered is in one place when its connection is closed",
    async (broker) => {
      const { queue, dead } = await withDeadLetters(broker);
      await broker.put(queue, "x");
      const { connection, channel } = await broker.openElsewhere();
      const { deliveryTag } = await held(channel, queue);
      await channel.reject(deliveryTag, { requeue: false, ...soon() });
      await connection[Symbol.asyncDispose]();
      assert.equal(textOf(await broker.getSoon(dead)), "x");
      await onlyNew(broker, queue);
      await onlyNew(broker, dead);
    },
    { needs: ["dead-letter", "shared-topology"] },
  ),
  onBroker(
    "a message that was requeued is there once when its connection is closed",
    async (broker) => {
      const queue = await broker.queue();
      await broker.put(queue, "x");
      const { connection, channel } = await broker.openElsewhere();
      const { deliveryTag } = await held(channel, queue);
      await channel.reject(deliveryTag, { requeue: true, ...soon() });
      await connection[Symbol.asyncDispose]();
      const again = await broker.getSoon(queue);
      assert.deepEqual([textOf(again), again.redelivered], ["x", true]);
      await onlyNew(broker, queue);
    },
  ),
  onBroker(
    "an unsettled message of a deleted queue does not come to a new one of its name",
    async (broker) => {
      const declared = broker.queueOf();
      await broker.channel.declareQueue(declared, soon());
      for (const text of ["old", "older"]) {
        await broker.put(declared.name, text);
      }
      const { connection, channel } = await broker.openElsewhere();
      const { deliveryTag } = await held(channel, declared.name);
      await held(channel, declared.name);
      await broker.channel.deleteQueue(declared.name, soon());
      await broker.channel.declareQueue(declared, soon());
      // One is put back by itself, the other when its connection is closed.
      await channel.reject(deliveryTag, { requeue: true, ...soon() })
        .catch(() => {});
      await connection[Symbol.asyncDispose]();
      await onlyNew(broker, declared.name);
    },
  ),
  onBroker(
    "a rejected message whose dead letter exchange is missing goes away, and reject() resolves",
    async (broker) => {
      const queue = await broker.queue({
        arguments: { "x-dead-letter-exchange": unique("nowhere") },
      });
      await broker.put(queue, "x");
      const { deliveryTag } = await broker.getSoon(queue);
      await broker.channel.reject(deliveryTag, { requeue: false, ...soon() });
      await onlyNew(broker, queue);
    },
    { needs: ["dead-letter"] },
  ),
  onBroker(
    "an expired message whose dead letter exchange is missing goes away",
    async (broker) => {
      const queue = await broker.queue({
        arguments: { "x-dead-letter-exchange": unique("nowhere") },
      });
      const collector = await broker.consume(queue, { prefetch: 1 });
      await broker.put(queue, "first");
      const first = await collector.next();
      await broker.put(queue, "late", { expiration: 0 });
      await broker.put(queue, "second");
      await broker.channel.ack(first.deliveryTag, soon());
      assert.equal(textOf(await collector.next()), "second");
    },
    { needs: ["dead-letter", "message-ttl"] },
  ),
  onBroker(
    "a settlement with an aborted signal rejects with its reason, and may be called again",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["a", "b"]) await broker.put(queue, text);
      const [a, b] = [await broker.getSoon(queue), await broker.getSoon(queue)];
      const reason = new Error("mine");
      const signal = AbortSignal.abort(reason);
      const { channel } = broker;
      for (
        const call of [
          channel.ack(a.deliveryTag, { signal }),
          channel.reject(b.deliveryTag, { requeue: false, signal }),
          channel.reject(b.deliveryTag, { requeue: true, signal }),
        ]
      ) {
        const told = call.then(() => undefined, (error: unknown) => error);
        assert.equal(await arrives(told, "the rejection"), reason);
      }
      assert.equal(await broker.count(queue), 0);
      await channel.ack(a.deliveryTag, soon());
      await channel.reject(b.deliveryTag, { requeue: true, ...soon() });
      const again = await broker.getSoon(queue);
      assert.equal(textOf(again), textOf(b));
    },
  ),
  onBroker(
    "all exclusive queues go with their connection, also where some went before",
    async (broker) => {
      const { connection, channel } = await broker.openElsewhere();
      const names: string[] = [];
      const others: string[] = [];
      for (let i = 0; i < 3; i++) {
        const declared = broker.queueOf({ exclusive: true });
        names.push((await channel.declareQueue(declared, soon())).name);
      }
      // All but one, and of another connection's none.
      const elsewhere = await broker.openElsewhere();
      for (let i = 0; i < 2; i++) {
        const declared = broker.queueOf({ exclusive: true });
        await elsewhere.channel.declareQueue(declared, soon());
        others.push(declared.name);
      }
      const [first = "", second = "", last = ""] = names;
      for (const name of [first, second]) {
        await channel.deleteQueue(name, soon());
      }
      await connection[Symbol.asyncDispose]();
      await elsewhere.connection[Symbol.asyncDispose]();
      for (const name of [last, ...others]) {
        await until(async () => {
          const another = await broker.openChannel();
          const error = await another.checkQueue(name, soon()).catch((e) => e);
          return error.code === "not-found";
        }, "the end of the queue");
      }
    },
    { needs: ["exclusive", "known-queues"] },
  ),
];

/** Takes a message which ought to be there. */
async function held(channel: Channel, queue: string): Promise<Delivery> {
  const delivery = await channel.get(queue, soon());
  assert.ok(delivery !== undefined, `nothing is in queue "${queue}"`);
  return delivery;
}

/** Shows that nothing is in a queue but what is put there now. */
async function onlyNew(broker: Broker, queue: string): Promise<void> {
  const { channel } = await broker.openElsewhere();
  const collector = await broker.consume(queue, {}, channel);
  await broker.put(queue, "new");
  const delivery = await collector.next();
  assert.equal(textOf(delivery), "new");
  await channel.ack(delivery.deliveryTag, soon());
  await broker.untilCount(queue, 0);
  assert.equal(collector.all.length, 1);
  await collector.subscription?.[Symbol.asyncDispose]();
}
