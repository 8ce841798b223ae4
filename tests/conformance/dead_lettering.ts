import assert from "node:assert/strict";
import { type ConformanceCase, onBroker } from "./case.ts";
import { publishing, rejectsWith, soon, textOf } from "./support.ts";

/** Dead letters, and the queues that they go to. */
export const DEAD_LETTERING: readonly ConformanceCase[] = [
  onBroker(
    "a dead letter passes an internal exchange, and a publisher with its key is refused before and after",
    async (broker) => {
      const exchange = await broker.exchange("direct", { internal: true });
      const dead = await broker.queue();
      await broker.bind(dead, exchange, "dead");
      const queue = await broker.queue({
        arguments: {
          "x-dead-letter-exchange": exchange,
          "x-dead-letter-routing-key": "dead",
        },
      });
      for (const text of ["first", "second"]) {
        const refusing = await broker.openChannel();
        await rejectsWith(
          refusing.publish(publishing(exchange, "dead", "no"), soon()),
          "access-refused",
        );
        await broker.put(queue, text);
        const delivery = await broker.getSoon(queue);
        await broker.channel.reject(delivery.deliveryTag, {
          requeue: false,
          ...soon(),
        });
        const letter = await broker.getSoon(dead);
        assert.equal(textOf(letter), text);
        await broker.channel.ack(letter.deliveryTag, soon());
      }
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["dead-letter"] },
  ),
  onBroker(
    "a dead letter reaches the queues that have room, where another that it goes to is full and refuses",
    async (broker) => {
      const full = await broker.queue({
        arguments: { "x-max-length": 1, "x-overflow": "reject-publish" },
      });
      await broker.put(full, "there already");
      const dead = [await broker.queue(), await broker.queue()];
      const exchange = await broker.exchange("fanout");
      for (const each of [...dead, full]) await broker.bind(each, exchange, "");
      const queue = await broker.queue({
        arguments: { "x-dead-letter-exchange": exchange },
      });
      await broker.put(queue, "failed");
      const delivery = await broker.getSoon(queue);
      await broker.channel.reject(delivery.deliveryTag, {
        requeue: false,
        ...soon(),
      });
      for (const each of dead) {
        assert.equal(textOf(await broker.getSoon(each)), "failed");
        assert.equal(await broker.count(each), 0);
      }
      assert.deepEqual(await broker.drain(full), ["there already"]);
      assert.equal(await broker.count(queue), 0);
    },
    { needs: ["length-limit", "dead-letter"] },
  ),
];
