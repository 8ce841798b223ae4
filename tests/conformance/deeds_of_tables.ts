import assert from "node:assert/strict";
import { type Actor, type Deed, DELAY, lies, take, THREE } from "./deeds.ts";
import type { QueueHandle } from "../../mod.ts";
import { open } from "./stage.ts";
import { bindingOf, publishing, rejectsWith, soon } from "./support.ts";

/** Of the tables. */
export const DECLARING: readonly Deed[] = [
  {
    name: "connect",
    act: () => Promise.resolve(),
    check: async (broker, { queue }) => {
      await broker.put(queue, "after");
      await lies(broker, queue, "after");
    },
  },
  {
    name: "declareQueue",
    needs: ["known-queues"],
    act: ({ channel, place }) =>
      channel.declareQueue({
        name: place.unused,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: {},
      }, soon()),
    check: async (broker, { unused }) => {
      assert.equal(await broker.count(unused), 0);
    },
  },
  {
    name: "declareExchange",
    needs: ["shared-topology"],
    act: ({ channel, place }) =>
      channel.declareExchange({
        name: place.unused,
        type: "topic",
        durable: true,
        autoDelete: false,
        internal: false,
        arguments: {},
      }, soon()),
    check: (broker, { unused }) => broker.channel.checkExchange(unused, soon()),
  },
  {
    name: "bind",
    needs: ["shared-topology"],
    act: ({ channel, place: { queue, exchange } }) =>
      channel.bind(bindingOf("queue", queue, exchange, "new"), soon()),
    check: async (broker, { queue, exchange }) => {
      await broker.publish(exchange, "new", "routed");
      await lies(broker, queue, "routed");
    },
  },
  {
    name: "unbind",
    needs: ["shared-topology"],
    act: ({ channel, place: { queue, exchange } }) =>
      channel.unbind(bindingOf("queue", queue, exchange, "work"), soon()),
    check: async (broker, { queue, exchange }) => {
      await broker.publish(exchange, "work", "gone");
      await lies(broker, queue);
    },
  },
  {
    name: "deleteExchange",
    needs: ["shared-topology"],
    act: ({ channel, place }) => channel.deleteExchange(place.exchange, soon()),
    check: async (broker, { exchange }) => {
      const { channel } = await broker.openElsewhere();
      await rejectsWith(channel.checkExchange(exchange, soon()), "not-found");
    },
  },
  {
    name: "deleteQueue",
    first: true,
    needs: ["known-queues"],
    before: THREE,
    act: async (actor) => {
      await take(actor, 1);
      await actor.channel.deleteQueue(actor.place.queue, soon());
    },
    check: async (broker, { queue }) => {
      const { channel } = await broker.openElsewhere();
      await rejectsWith(channel.checkQueue(queue, soon()), "not-found");
    },
  },
  {
    name: "purgeQueue",
    before: THREE,
    act: async (actor) => {
      await take(actor, 1);
      await actor.channel.purgeQueue(actor.place.queue, soon());
    },
    // A message that a consumer holds is not there to be purged.
    check: async (broker, { queue }) => {
      const collector = await broker.consume(queue);
      const { deliveryTag } = await collector.next();
      await broker.channel.ack(deliveryTag, soon());
      await collector.subscription?.[Symbol.asyncDispose]();
      assert.equal(collector.all.length, 1);
      assert.equal(await broker.get(queue), undefined);
    },
  },
];

/** Of messages that are on their way in. */
export const PUBLISHING: readonly Deed[] = [
  {
    name: "publish",
    first: true,
    act: ({ channel, place }) =>
      channel.publish(publishing("", place.queue, "new"), soon()),
    check: async (broker, { queue }) => {
      await lies(broker, queue, "new");
    },
  },
  {
    name: "publish to two queues",
    act: ({ channel, place }) =>
      channel.publish(publishing(place.exchange, "both", "new"), soon()),
    check: async (broker, { queue, dead }) => {
      await lies(broker, queue, "new");
      await lies(broker, dead, "new");
    },
  },
  {
    name: "publish many",
    act: ({ channel, place }) =>
      Promise.all(Array.from(
        { length: 30 },
        (_, i) => channel.publish(publishing("", place.queue, `${i}`), soon()),
      )),
    check: async (broker, { queue }) => {
      await lies(
        broker,
        queue,
        ...Array.from({ length: 30 }, (_, i) => `${i}`),
      );
    },
  },
  {
    name: "publish with a delay",
    first: true,
    needs: ["delay"],
    act: ({ channel, place }) =>
      channel.publish(
        publishing("", place.queue, "late", { delay: DELAY }),
        soon(),
      ),
    check: async (broker, { queue }) => {
      await lies(broker, queue, "late");
    },
  },
  {
    name: "QueueHandle.cancelDelayed",
    needs: ["cancel-delayed"],
    act: async (actor) => {
      const handle = await putLater(actor);
      assert.ok(await handle.cancelDelayed("late"));
    },
    check: async ({ channel }, { queue }) => {
      const isThere = await channel.changeDelayed?.(queue, "late", 1, soon());
      assert.equal(isThere, false);
    },
  },
  {
    name: "QueueHandle.reschedule",
    needs: ["cancel-delayed"],
    act: async (actor) => {
      const handle = await putLater(actor);
      assert.ok(await handle.reschedule("late", { delay: DELAY }));
    },
    check: async (broker, { queue }) => {
      await lies(broker, queue, "late");
    },
  },
  {
    name: "Producer.publish",
    act: ({ harness, place }) =>
      open(harness).producer<string>().publish("new", {
        routingKey: place.queue,
      }),
    check: async (broker, { queue }) => {
      await lies(broker, queue, "new");
    },
  },
];

/** Publishes a message that nobody waits for, and names its queue. */
async function putLater(
  { harness, place }: Actor,
): Promise<QueueHandle<string>> {
  const connection = open(harness);
  await connection.producer<string>().publish("late", {
    routingKey: place.queue,
    messageId: "late",
    delay: 600_000,
  });
  return connection.queue<string>(place.queue);
}
