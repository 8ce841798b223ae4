/**
 * NATS with JetStream by npm:@nats-io/transport-node: each queue is a stream of its own, whose
 * retention is `workqueue`, with one durable consumer that all who take from it share.
 *
 * URL: `nats://[username[:password]@][hostname][:port]/[prefix]`, and `tls://` or `?ssl=1`
 * for TLS, which verifies. Without more it is `nats://localhost:4222/dashi`. A username
 * without a password is a token.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `ack_wait` | `ackWait` | 30 s | how long a message stays with a connection that took it and is not heard of; seconds in the URL, ms in the options |
 * | `replicas` | `replicas` | 1 | how many servers of a cluster keep each stream, 1 to 5 |
 * | `domain` | `domain` | none | the JetStream domain, behind a leaf node |
 *
 * @example Connect
 * ```ts ignore needs NATS
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("nats://user:secret@localhost/shop");
 * await connection.connect();
 * ```
 *
 * @module
 */

export { nativeClient, type NatsNative } from "./native_client.ts";
export type { NatsTransportOptions } from "./options.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
