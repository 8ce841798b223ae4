/**
 * MongoDB, by npm:mongodb: queues as documents, shared with Python's Kombu and
 * Celery in both directions.
 *
 * URL: `mongodb://[username:password@][hostname][:port][,…][/database]`, and
 * `mongodb+srv://` for hosts that DNS names. Without more it is
 * `mongodb://127.0.0.1:27017/kombu_default`. A user is known to `admin`, or to the
 * database that the URL names.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `visibility_timeout` | `visibilityTimeout` | 30 s | how long a delivery is out of the others' sight, unless it is renewed: every third of it, while its connection lives; seconds there, ms here, 1 s or more |
 * | `polling_interval` | `pollingInterval` | 1 s | the longest wait between two looks at queues that stay empty; seconds there, ms here |
 * | `fanout` | `fanout` | `queue` | `queue` routes to every bound queue; `broadcast` reads and writes Kombu's capped collection, which reaches those that listen now |
 * | `capped_queue_size` | `cappedQueueSize` | 100000 | Kombu's: the size of that collection in bytes, when it is made |
 * | `ttl` | `ttl` | false | Kombu's: TTL indexes, by which the server removes what has expired |
 * | `messages_collection`, `routing_collection`, `broadcast_collection`, `queues_collection` | `messagesCollection`, … | `messages`, `messages.routing`, `messages.broadcast`, `messages.queues` | Kombu's collections |
 * | `w` | `w` | `majority` | how many members must have a message before `publish` resolves |
 * | `replicaSet`, `authSource`, `authMechanism`, `directConnection`, `tls`, `appName` | the same | as the driver has it | MongoDB's own, in any case |
 * | `maxPoolSize` | `maxPoolSize` | 10 | the maximum number of sockets |
 * | `retryWrites` | `retryWrites` | - | taken, and not heeded: the library publishes again by itself |
 *
 * Capabilities: all but `exchange-types`, `length-limit`, `streams`, `transaction` and
 * `wide-priority`, and without `queued-fanout` where fanout is broadcast. A queue is there if one of ours declared it or consumes from it, if Kombu
 * has bound it or lists it, if messages lie in it, or if a message that came by the same
 * connection names it as `replyTo`. Another one of Kombu's leaves no trace while it is
 * empty: declare it, or publish with `mandatory: false`, which puts the message there
 * all the same. The
 * order of messages is that of one process; those of several that publish within the
 * same second may come in any order. A body has 12 MB at most. Priorities are from 0
 * to 9 and always heeded.
 *
 * A message is claimed by one `findOneAndUpdate` that asks for what Kombu's index
 * `{queue, priority, _id}` serves; claims move it to the queue `<queue>\x06\x16unacked`,
 * where Kombu does not look, until it is settled by the holder of the claim. A delayed one
 * waits in `<queue>\x06\x16delayed`, and an entry that is no message is quarantined in
 * `<queue>\x06\x16malformed`. An expired message is never delivered; if its queue
 * dead-letters, a consumer on any connection moves it within 5 s. Queues are looked at
 * again after 10 ms at first, and less often the longer nothing comes.
 *
 * An ordered queue (`x-ordered`) keeps its messages in `<queue>\x06\x16of <key>`, and a
 * document for each key in `<queue>\x06\x16ring` while it waits for its turn, or in
 * `<queue>\x06\x16busy` while a message of it is out. Messages without a key lie in the
 * queue itself. Their order is that in which the server took them, over all processes.
 *
 * A message that is hidden until a certain time comes back by a connection of ours that
 * consumes from its queue, or has published there or declared it. While none is open it
 * waits.
 *
 * Bindings lie in `messages.routing`, as Kombu reads and writes them; exchanges,
 * queues, and the bindings that Kombu has not, in `messages.topology`. Writes are the
 * majority's, but for claims and their renewals: what a failover forgets of those is
 * delivered again.
 *
 * @example Connect
 * ```ts ignore needs MongoDB
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("mongodb://localhost/orders");
 * await connection.connect();
 * ```
 *
 * @module
 */

export type { MongodbTransportOptions } from "./options.ts";
export { nativeClient } from "./native_client.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
