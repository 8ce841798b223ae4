import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./connection_options.ts";
import { requireRuntime } from "./runtime.ts";
import { readInput, type UrlInput } from "./url_input.ts";

/**
 * Makes a connection. Nothing is opened and nothing loaded yet: the first operation
 * connects, or `connect()`.
 *
 * @param url A URL, several in an array, or several in one string joined with `;`: the others are tried when one fails. Or the options alone, `{ hostname }` and the like, of a RabbitMQ unless `transport` says otherwise.
 * @param options Options beside the URL.
 * @returns The connection.
 * @throws {TypeError} If it names no broker: the URL is undefined or empty.
 * @throws {SyntaxError} If a URL is malformed.
 * @throws {TransportError} If its scheme is unknown.
 * @throws {OptionError} If an option is unknown or bad.
 *
 * @example Publish and consume
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Exchange, Queue } from "@dashi/mq";
 *
 * const media = new Exchange("media", { type: "topic" });
 * const video = new Queue("video", { exchange: media, routingKey: "video.#" });
 *
 * await using connection = createConnection("memory://example");
 * const producer = connection.producer({ exchange: media, declare: [video] });
 * await producer.publish({ path: "cat.avi" }, { routingKey: "video.upload" });
 *
 * for await (const message of connection.consumer<{ path: string }>(video)) {
 *   assertEquals(message.payload.path, "cat.avi");
 *   await message.ack();
 *   break;
 * }
 * ```
 */
export function createConnection(
  url: UrlInput | ConnectionOptions,
  options?: ConnectionOptions,
): Connection {
  requireRuntime();
  return new Connection(...readInput(url, options));
}
