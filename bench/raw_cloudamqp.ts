/** @cloudamqp/amqp-client as it comes. */

import { AMQPClient } from "@cloudamqp/amqp-client";
import type { RawClient } from "./raw_client.ts";
import { rate, WINDOW } from "./measure.ts";

/** Opens a connection, and a queue on it. */
export async function openCloudamqp(
  url: string,
  queue: string,
): Promise<RawClient> {
  const client = new AMQPClient(url.replace(/\/\/$/, "/%2F"));
  const connection = await client.connect();
  const channel = await connection.channel();
  await channel.confirmSelect();
  await channel.queueDeclare(queue, { durable: true });
  return {
    name: "amqp-client",
    async publish(body, count, own) {
      const began = performance.now();
      for (let i = 0; i < count; i += WINDOW) {
        await Promise.all(Array.from(
          { length: Math.min(WINDOW, count - i) },
          () =>
            channel.basicPublish(
              "",
              queue,
              body,
              own
                ? {
                  deliveryMode: 2,
                  headers: { n: "x" },
                  messageId: crypto.randomUUID(),
                  contentType: "application/data",
                  contentEncoding: "binary",
                }
                : { deliveryMode: 2, headers: { n: "x" } },
              own,
            ),
        ));
      }
      return rate(count, began);
    },
    async consume(count, prefetch) {
      const own = await connection.channel();
      await own.basicQos(prefetch);
      const { promise, resolve } = Promise.withResolvers<void>();
      let seen = 0;
      const began = performance.now();
      await own.basicConsume(queue, { noAck: false }, (message) => {
        void message.ack();
        if (++seen === count) resolve();
      });
      await promise;
      const result = rate(count, began);
      await own.close();
      return result;
    },
    async purge() {
      await channel.queuePurge(queue);
    },
    async close() {
      await channel.queueDelete(queue);
      await connection.close();
    },
  };
}
