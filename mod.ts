/**
 * Messaging for TypeScript: a connection named by a URL, and exchanges, queues,
 * producers and consumers that behave the same on every broker.
 *
 * @example Publish and consume
 * ```ts
 * import { createConnection, Exchange, Queue } from "@dashi/mq";
 *
 * const media = new Exchange("media", { type: "topic" });
 * const video = new Queue("video", { exchange: media, routingKey: "video.#" });
 *
 * await using connection = createConnection("memory://");
 * await using producer = connection.producer({ exchange: media, declare: [video] });
 * await producer.publish({ path: "cat.avi" }, { routingKey: "video.upload" });
 *
 * await using consumer = connection.consumer<{ path: string }>(video, { prefetch: 8 });
 * for await (const message of consumer) {
 *   console.log(message.payload.path);
 *   await message.ack();
 *   break;
 * }
 * ```
 *
 * @module
 */

export * from "./messaging/mod.ts";
export * from "./model/errors.ts";
