import assert from "node:assert/strict";
import type { Message } from "../../mod.ts";
import type {
  Capability,
  Channel,
  Delivery,
} from "../../transports/transport.ts";
import type { Broker } from "./broker.ts";
import {
  byText,
  type Deed,
  DELAY,
  lies,
  type Place,
  take,
  takeMessages,
  THREE,
} from "./deeds.ts";
import { open } from "./stage.ts";
import { Collector, PATIENCE, soon, textOf } from "./support.ts";

/** Of messages that are held. */
export const TAKING: readonly Deed[] = [
  {
    name: "get",
    before: THREE,
    act: ({ channel, place }) => channel.get(place.queue, soon()),
    check: async (broker, { queue }) => {
      await lies(broker, queue, ...THREE);
    },
  },
  {
    name: "get with noAck",
    before: ["one"],
    act: ({ channel, place }) =>
      channel.get(place.queue, { noAck: true, ...soon() }),
    check: async (broker, { queue }) => {
      await broker.put(queue, "next");
      await lies(broker, queue, "next");
    },
  },
  {
    name: "receive",
    before: THREE,
    act: ({ harness, place }) =>
      open(harness).queue(place.queue).receive({ max: 2, wait: PATIENCE }),
    check: async (broker, { queue }) => {
      await lies(broker, queue, ...THREE);
    },
  },
  {
    name: "consume",
    before: THREE,
    act: ({ channel, place }) =>
      channel.consume(place.queue, () => {}, { prefetch: 2, ...soon() }),
    check: async (broker, { queue }) => {
      await lies(broker, queue, ...THREE);
    },
  },
  {
    name: "deliver",
    before: THREE,
    act: (actor) => take(actor, 3),
    check: async (broker, { queue }) => {
      const all = await lies(broker, queue, ...THREE);
      assert.deepEqual(all.map(({ redelivered }) => redelivered), [
        true,
        true,
        true,
      ]);
    },
  },
  {
    name: "cancel",
    before: THREE,
    act: async ({ channel, place }) => {
      const collector = new Collector();
      const subscription = await channel.consume(
        place.queue,
        collector.deliver,
        { prefetch: 2, ...soon() },
      );
      await collector.take(2);
      await subscription[Symbol.asyncDispose]();
    },
    check: async (broker, { queue }) => {
      await lies(broker, queue, ...THREE);
    },
  },
  {
    name: "close the channel",
    before: THREE,
    act: async (actor) => {
      const [first] = await take(actor, 3);
      assert.ok(first !== undefined);
      await actor.channel.ack(first.deliveryTag, soon());
      await actor.channel[Symbol.asyncDispose]();
    },
    check: isOneLess,
  },
  {
    name: "close the connection",
    before: THREE,
    act: async (actor) => {
      const [first] = await take(actor, 3);
      assert.ok(first !== undefined);
      await actor.channel.ack(first.deliveryTag, soon());
      await actor.connection[Symbol.asyncDispose]();
    },
    check: isOneLess,
  },
];

/** Any one of the three was settled: not every broker keeps their order. */
async function isOneLess(broker: Broker, { queue }: Place): Promise<void> {
  const collector = await broker.consume(queue);
  for (let i = 0; i < 2; i++) {
    const { deliveryTag } = await collector.next();
    await broker.channel.ack(deliveryTag, soon());
  }
  await collector.subscription?.[Symbol.asyncDispose]();
  const seen = new Set(collector.all.map(textOf));
  assert.deepEqual([collector.all.length, seen.size], [2, 2]);
  assert.equal(textOf(await broker.get(queue)), undefined);
}

/** Settles `one` of the three, while the others are held. */
function settling(
  name: string,
  settle: (channel: Channel, one: Delivery) => Promise<void>,
  check: (broker: Broker, place: Place) => Promise<unknown>,
  needs: readonly Capability[] = [],
): Deed {
  return {
    name,
    needs,
    first: ["ack", "requeue with a delay", "reject"].includes(name),
    before: THREE,
    act: async (actor) => {
      const all = await take(actor, 3);
      await settle(actor.channel, byText(all, "one"));
    },
    check: async (broker, place) => {
      await check(broker, place);
    },
  };
}

/** The same, by the public API. */
function settlingMessage(
  name: string,
  settle: (one: Message<string>) => Promise<void>,
  check: (broker: Broker, place: Place) => Promise<unknown>,
  needs: readonly Capability[] = [],
): Deed {
  return {
    name,
    needs,
    before: THREE,
    act: async (actor) => {
      const all = await takeMessages(actor, 3);
      const decoder = new TextDecoder();
      const one = all.find(({ body }) => decoder.decode(body) === "one");
      assert.ok(one !== undefined, '"one" was not delivered');
      await settle(one);
    },
    check: async (broker, place) => {
      await check(broker, place);
    },
  };
}

const isDone = (broker: Broker, { queue }: Place) =>
  lies(broker, queue, "two", "kept");

const isBack = (broker: Broker, { queue }: Place) =>
  lies(broker, queue, ...THREE);

async function isDead(broker: Broker, { queue, dead }: Place) {
  await lies(broker, dead, "one");
  await lies(broker, queue, "two", "kept");
}

/** Of messages that are settled. */
export const SETTLING: readonly Deed[] = [
  settling(
    "ack",
    (channel, { deliveryTag }) => channel.ack(deliveryTag, soon()),
    isDone,
  ),
  {
    name: "ack several",
    before: THREE,
    act: async (actor) => {
      const [, second] = await take(actor, 3);
      assert.ok(second !== undefined);
      await actor.channel.ack(second.deliveryTag, {
        multiple: true,
        ...soon(),
      });
    },
    check: async (broker, { queue }) => {
      const collector = await broker.consume(queue);
      const { deliveryTag } = await collector.next();
      await broker.channel.ack(deliveryTag, soon());
      await collector.subscription?.[Symbol.asyncDispose]();
      assert.equal(collector.all.length, 1);
      assert.equal(textOf(await broker.get(queue)), undefined);
    },
  },
  settling(
    "requeue",
    (channel, { deliveryTag }) =>
      channel.reject(deliveryTag, { requeue: true, ...soon() }),
    isBack,
  ),
  settling(
    "requeue with a delay",
    (channel, { deliveryTag }) =>
      channel.reject(deliveryTag, { requeue: true, delay: DELAY, ...soon() }),
    isBack,
    ["delay"],
  ),
  settling(
    "requeue with headers",
    (channel, { deliveryTag }) =>
      channel.reject(deliveryTag, {
        requeue: true,
        headers: { "x-attempts": 2 },
        ...soon(),
      }),
    async (broker, { queue }) => {
      const all = await lies(broker, queue, ...THREE);
      const { headers } = byText(all, "one").properties;
      assert.equal(headers?.["x-attempts"], 2);
    },
  ),
  settling(
    "reject",
    (channel, { deliveryTag }) =>
      channel.reject(deliveryTag, { requeue: false, ...soon() }),
    isDead,
    ["dead-letter"],
  ),
  {
    name: "settle each in its way",
    first: true,
    needs: ["dead-letter"],
    before: ["acked", "rejected", "requeued", "kept"],
    act: async (actor) => {
      const all = await take(actor, 4);
      const { channel } = actor;
      const tag = (text: string) => byText(all, text).deliveryTag;
      await Promise.all([
        channel.ack(tag("acked"), soon()),
        channel.reject(tag("rejected"), { requeue: false, ...soon() }),
        channel.reject(tag("requeued"), { requeue: true, ...soon() }),
      ]);
    },
    check: async (broker, { queue, dead }) => {
      await lies(broker, dead, "rejected");
      await lies(broker, queue, "requeued", "kept");
    },
  },
  settlingMessage("Message.ack", (message) => message.ack(), isDone),
  settlingMessage("Message.requeue", (message) => message.requeue(), isBack),
  settlingMessage(
    "Message.reject",
    (message) => message.reject(),
    isDead,
    ["dead-letter", "shared-topology"],
  ),
  {
    name: "Consumer.close",
    before: THREE,
    act: async ({ harness, place }) => {
      const connection = open(harness);
      const consumer = connection.consumer<string>(place.queue, {
        prefetch: 3,
      });
      const { value } = await consumer[Symbol.asyncIterator]().next();
      await value?.ack();
      await consumer.close();
    },
    check: isOneLess,
  },
];
