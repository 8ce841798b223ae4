import type { NativeClient } from "../transport.ts";

/**
 * The connection of amqplib, for channels of one's own: `createChannel`, `assertQueue` with
 * arguments of a plugin.
 *
 * It is a copy of amqplib that is patched for speed and safety: a message's `content` is a
 * `Uint8Array`, and its headers are not decoded. So declare and publish by it, and consume
 * by the library.
 *
 * Close the channels that are opened on it, and not the connection: it carries the library's
 * channels, too. A queue or exchange that is declared by it is not declared again after a
 * lost connection.
 */
export const nativeClient: NativeClient<
  Awaited<ReturnType<(typeof import("amqplib"))["connect"]>>
> = {
  name: "amqplib",
  is: (
    client,
  ): client is Awaited<ReturnType<(typeof import("amqplib"))["connect"]>> =>
    client instanceof Object && "createChannel" in client &&
    "connection" in client,
};
