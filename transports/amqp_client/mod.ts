/**
 * AMQP 0-9-1 over TCP, TLS and WebSocket, by npm:@cloudamqp/amqp-client: RabbitMQ,
 * LavinMQ, and what speaks as they do. The second client beside `@dashi/mq/amqp`, as
 * `pika` is Kombu's; it does all that the first does.
 *
 * URL: `amqp-client://[username[:password]@][hostname][:port][/virtual-host]`, or `pika://`;
 * or any `amqp://` or `amqps://` URL with the option `transport: "pika"`. Without more it
 * is `amqp-client://guest:guest@localhost:5672//`; `?ssl=1` speaks TLS, and the port is
 * then 5671. `ws://` and `wss://` URLs go through a WebSocket: LavinMQ has
 * it, RabbitMQ needs a relay, for its own plug-in speaks AMQP 1.0 alone. Their
 * ports are 80 and 443, their path is the virtual host as in all URLs of AMQP, and the
 * path of the HTTP endpoint is the parameter `path`.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `frame_max` | `frameMax` | 0 | the largest frame in bytes; 0 takes what the broker offers |
 * | `channel_max` | `channelMax` | 0 | the maximum number of channels; 0 takes what the broker offers |
 * | `login_method` | `loginMethod` | `PLAIN` | `PLAIN`, or `EXTERNAL` with a client certificate |
 * | `path` | `path` | `/ws` | the endpoint of `ws://` and `wss://` |
 * | - | `clientProperties` | - | told to the broker, and shown by it |
 * | - | `managementUrl` | - | RabbitMQ's management API, by which `connection.inspect()` sees all queues |
 *
 * Capabilities: those of `@dashi/mq/amqp`. `wss://` verifies as `amqps://` does, and takes
 * the same `tls: { ca, cert, key, servername }`.
 *
 * A connection that publishes and consumes is two TCP connections to the broker, by the
 * same name, for it reads nothing from those that publish while it is short of memory or
 * disk. The second is opened with the first need for both; where the broker lets nobody
 * have it, all go over the first. Each has `channel_max` channels.
 *
 * @example Through a WebSocket
 * ```ts ignore needs a relay
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection(
 *   "wss://user:password@broker.example/orders?path=/ws/amqp",
 * );
 * await connection.connect();
 * ```
 *
 * @module
 */

export type { AmqpClientTransportOptions } from "./options.ts";
export { nativeClient } from "./native_client.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
