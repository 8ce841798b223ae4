/** amqplib as it comes. */

import { Buffer } from "node:buffer";
import { connect } from "amqplib";
import type { RawClient } from "./raw_client.ts";
import { rate, WINDOW } from "./measure.ts";

/** Opens a connection, and a queue on it. */
export async function openAmqplib(
  url: string,
  queue: string,
): Promise<RawClient> {
  const connection = await connect(url.replace(/\/\/$/, ""));
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true });
  return {
    name: "amqplib",
    async publish(bytes, count, own) {
      const body = Buffer.from(bytes);
      const began = performance.now();
      for (let i = 0; i < count; i += WINDOW) {
        await Promise.all(Array.from(
          { length: Math.min(WINDOW, count - i) },
          () =>
            new Promise<void>((resolve, reject) => {
              channel.sendToQueue(
                queue,
                body,
                own
                  ? {
                    persistent: true,
                    mandatory: true,
                    headers: { n: "x" },
                    messageId: crypto.randomUUID(),
                    contentType: "application/data",
                    contentEncoding: "binary",
                  }
                  : { persistent: true, headers: { n: "x" } },
                (error) => error ? reject(error) : resolve(),
              );
            }),
        ));
      }
      return rate(count, began);
    },
    async consume(count, prefetch) {
      const own = await connection.createChannel();
      await own.prefetch(prefetch);
      const { promise, resolve } = Promise.withResolvers<void>();
      let seen = 0;
      const began = performance.now();
      await own.consume(queue, (message) => {
        if (message === null) return;
        own.ack(message);
        if (++seen === count) resolve();
      });
      await promise;
      const result = rate(count, began);
      await own.close();
      return result;
    },
    async purge() {
      await channel.purgeQueue(queue);
    },
    async close() {
      await channel.deleteQueue(queue);
      await connection.close();
    },
  };
}
