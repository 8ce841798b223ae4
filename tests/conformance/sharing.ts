import assert from "node:assert/strict";
import type { Channel, Delivery } from "../../transports/transport.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { type Collector, publishing, soon, textOf, until } from "./support.ts";

/** Ways to settle, after which the next message may come. */
const WAYS: readonly (readonly [
  what: string,
  settle: (channel: Channel, delivery: Delivery) => Promise<void>,
])[] = [
  [
    "acks",
    (channel, { deliveryTag }) => channel.ack(deliveryTag, soon()),
  ],
  [
    "rejects",
    (channel, { deliveryTag }) =>
      channel.reject(deliveryTag, { requeue: false, ...soon() }),
  ],
  [
    "requeues",
    (channel, { deliveryTag }) =>
      channel.reject(deliveryTag, { requeue: true, ...soon() }),
  ],
];

/** Several consumers of a queue, and several queues of a message. */
export const SHARING: readonly ConformanceCase[] = [
  ...WAYS.map(([what, settle]) =>
    onBroker(
      `prefetch holds after ${what}, and the window stays in use`,
      async (broker) => {
        const queue = await broker.queue();
        for (let i = 0; i < 20; i++) await broker.put(queue, String(i));
        const collector = await broker.consume(queue, { prefetch: 3 });
        for (let settled = 0; settled < 12; settled++) {
          const delivery = await collector.next();
          assert.ok(collector.all.length - settled <= 3);
          await settle(broker.channel, delivery);
        }
        // As many again as it may hold: none of the places was lost.
        await until(() => collector.all.length === 15, "the third delivery");
      },
    )
  ),
  onBroker(
    "two that wait on two connections at prefetch 1 get one each of two messages",
    async (broker) => {
      const queue = await broker.queue();
      const [one, two] = [
        await broker.openElsewhere(),
        await broker.openElsewhere(),
      ];
      const first = await broker.consume(queue, { prefetch: 1 }, one.channel);
      const second = await broker.consume(queue, { prefetch: 1 }, two.channel);
      await Promise.all([
        broker.put(queue, "a"),
        broker.put(queue, "b"),
      ]);
      const texts = [
        textOf(await first.next()),
        textOf(await second.next()),
      ];
      assert.deepEqual(texts.sort(), ["a", "b"]);
      assert.equal(first.all.length + second.all.length, 2);
    },
  ),
  onBroker(
    "fanout reaches queues that are consumed on different connections",
    async (broker) => {
      const exchange = await broker.exchange("fanout");
      const collectors = [];
      for (let i = 0; i < 3; i++) {
        const queue = await broker.queue();
        await broker.bind(queue, exchange);
        const { channel } = await broker.openElsewhere();
        collectors.push(await broker.consume(queue, { prefetch: 5 }, channel));
      }
      await broker.publish(exchange, "", "x");
      for (const collector of collectors) {
        assert.equal(textOf(await collector.next()), "x");
        assert.equal(collector.all.length, 1);
      }
    },
    { needs: ["shared-topology"] },
  ),
  onBroker(
    "replicas that share a queue of a fanout exchange get each message once, though its publisher knew of no queue before",
    async (broker) => {
      const exchange = await broker.exchange("fanout");
      const publisher = (await broker.openElsewhere()).channel;
      const publish = async (text: string) =>
        await publisher.publish(publishing(exchange, "", text), soon());
      await publish("to nobody");
      const queue = await broker.queue();
      await broker.bind(queue, exchange);
      const replicas: Collector[] = [];
      for (let i = 0; i < 2; i++) {
        const { channel } = await broker.openElsewhere();
        replicas.push(await broker.consume(queue, { prefetch: 10 }, channel));
      }
      const texts = Array.from({ length: 10 }, (_, i) => String(i));
      for (const text of texts) await publish(text);
      const got = () => replicas.flatMap(({ all }) => all.map(textOf));
      await until(() => got().length >= texts.length, "all of them");
      assert.deepEqual(got().sort(), texts);
    },
    { needs: ["shared-topology", "queued-fanout"] },
  ),
  onBroker("two consumers of a queue take turns", async (broker) => {
    const queue = await broker.queue();
    const { channel } = await broker.openElsewhere();
    const counts = [0, 0];
    const settling: Promise<void>[] = [];
    for (const i of [0, 1]) {
      await channel.consume(queue, ({ deliveryTag }) => {
        counts[i] = (counts[i] ?? 0) + 1;
        settling.push(channel.ack(deliveryTag, soon()));
      }, { prefetch: 10, ...soon() });
    }
    for (let i = 1; i <= 40; i++) {
      await broker.put(queue, String(i));
      // One after the other, so that nobody has more than one at a time.
      await until(() => settling.length === i, "the delivery");
      await settling.at(-1);
    }
    assert.ok(Math.min(...counts) >= 10, `they got ${counts.join(" and ")}`);
  }),
  onBroker(
    "consumers that have ended are not counted: cancelled, channel closed, connection closed",
    async (broker) => {
      const queue = await broker.queue();
      const counted = async (count: number) =>
        await until(
          async () =>
            (await broker.channel.checkQueue(queue, soon())).consumerCount ===
              count,
          `a count of ${count} consumers`,
        );
      const { connection, channel } = await broker.openElsewhere();
      const last = await connection.openChannel(soon());
      const collector = await broker.consume(queue, {}, channel);
      await broker.consume(queue, {}, channel);
      await broker.consume(queue, {}, last);
      await counted(3);
      await collector.subscription?.[Symbol.asyncDispose]();
      await counted(2);
      await channel[Symbol.asyncDispose]();
      await counted(1);
      await connection[Symbol.asyncDispose]();
      await counted(0);
    },
    { needs: ["shared-topology"] },
  ),
  onBroker(
    "deliveryCount counts on, where the broker counts",
    async (broker) => {
      const queue = await broker.queue();
      await broker.put(queue, "x");
      const counts: (number | undefined)[] = [];
      for (let i = 0; i < 4; i++) {
        const { deliveryTag, deliveryCount } = await broker.getSoon(queue);
        counts.push(deliveryCount);
        const options = { requeue: true, ...soon() };
        await broker.channel.reject(deliveryTag, options);
      }
      const none = [undefined, undefined, undefined, undefined];
      const counting = counts.some((each) => each !== undefined);
      assert.deepEqual(counts, counting ? [0, 1, 2, 3] : none);
    },
  ),
];
