import type { NativeClient } from "../transport.ts";

/**
 * The client of @cloudamqp/amqp-client, for channels of one's own: `channel()`, and then
 * `queueDeclare` with arguments of a plugin.
 *
 * Close the channels that are opened on it, and not the client: it carries the library's
 * channels, too. Its listeners (`onerror`, `ondisconnect`, …) are the library's. A queue or
 * exchange that is declared by it is not declared again after a lost connection.
 */
export const nativeClient: NativeClient<
  InstanceType<(typeof import("@cloudamqp/amqp-client"))["AMQPBaseClient"]>
> = {
  name: "@cloudamqp/amqp-client",
  is: (
    client,
  ): client is InstanceType<
    (typeof import("@cloudamqp/amqp-client"))["AMQPBaseClient"]
  > =>
    client instanceof Object && "channel" in client && "channelMax" in client,
};
