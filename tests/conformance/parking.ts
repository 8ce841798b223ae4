import assert from "node:assert/strict";
import type { Delivery, QueueDeclaration } from "../../transports/transport.ts";
import { failedQueue } from "../../virtual/mod.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { deathOf } from "./deaths.ts";
import { rejectsWith, soon, textOf } from "./support.ts";

const WHY = { "x-error-name": "Error", "x-error-message": "bad luck" };

/** Puts a message into a queue, takes it and parks it. */
async function park(
  broker: Broker,
  declared: QueueDeclaration,
  text: string,
): Promise<Delivery> {
  await broker.put(declared.name, text, {
    messageId: "m1",
    headers: { kept: "yes" },
  });
  const delivery = await broker.getSoon(declared.name);
  const parked = await broker.channel.park(delivery.deliveryTag, {
    headers: WHY,
    declared,
    ...soon(),
  });
  assert.equal(parked.type, "parked");
  await rejectsWith(
    broker.channel.ack(delivery.deliveryTag, soon()),
    "message-settled",
  );
  return delivery;
}

/** Expects the message that was parked, and settles it. */
async function expectParked(
  broker: Broker,
  queue: string,
  from: string,
  text: string,
): Promise<void> {
  const letter = await broker.getSoon(queue);
  assert.equal(textOf(letter), text);
  const { headers = {}, messageId } = letter.properties;
  assert.equal(messageId, "m1");
  assert.equal(headers["kept"], "yes");
  assert.equal(headers["x-error-message"], "bad luck");
  assert.equal(headers["x-first-death-queue"], from);
  const death = deathOf(headers);
  assert.deepEqual(
    [death["queue"], death["reason"], death["exchange"]],
    [from, "rejected", ""],
  );
  await broker.channel.ack(letter.deliveryTag, soon());
}

/** What failed for good is kept where somebody finds it. */
export const PARKING: readonly ConformanceCase[] = [
  onBroker(
    "park() puts a message that failed into the dead letters of its queue, with what it failed for",
    async (broker) => {
      const dead = await broker.queue();
      const queue = broker.queueOf({
        arguments: {
          "x-dead-letter-exchange": "",
          "x-dead-letter-routing-key": dead,
        },
      });
      await broker.channel.declareQueue(queue, soon());
      await park(broker, queue, "bad");
      await expectParked(broker, dead, queue.name, "bad");
      assert.equal(await broker.count(queue.name), 0);
    },
    { needs: ["dead-letter"] },
  ),
  onBroker(
    "park() puts it into a queue that is made for it where its own dead-letters nowhere, again if somebody has deleted that",
    async (broker) => {
      const queue = broker.queueOf();
      await broker.channel.declareQueue(queue, soon());
      const failed = failedQueue(queue.name);
      broker.removes([failed], []);
      for (const text of ["bad 1", "bad 2"]) {
        await park(broker, queue, text);
        await expectParked(broker, failed, queue.name, text);
        await broker.channel.deleteQueue(failed, soon());
      }
      assert.equal(await broker.count(queue.name), 0);
    },
  ),
  onBroker(
    "park() loses nothing where the dead letters of its queue lead nowhere",
    async (broker) => {
      const exchange = await broker.exchange("direct");
      for (const name of [exchange, `${exchange}.none`]) {
        const queue = broker.queueOf({
          arguments: { "x-dead-letter-exchange": name },
        });
        await broker.channel.declareQueue(queue, soon());
        const failed = failedQueue(queue.name);
        broker.removes([failed], []);
        await park(broker, queue, "bad");
        await expectParked(broker, failed, queue.name, "bad");
      }
    },
    { needs: ["dead-letter"] },
  ),
];
