/**
 * Redis 6.2 or later, and Valkey, by npm:ioredis. Queues are shared with Python's Kombu
 * and Celery in both directions: lists, bindings, unacked messages and PUB/SUB channels
 * are theirs, byte for byte, as Kombu 5.7 writes them.
 *
 * URL: `redis://[[username]:[password]@][hostname][:port][/database]`, and `rediss://` for
 * TLS, which verifies. Without more it is `redis://127.0.0.1:6379/0`. The virtual host is
 * the number of the database. `redis+socket:///path/to/redis.sock?virtual_host=5` is a
 * Unix socket. `sentinel://a:26379;sentinel://b` (or `sentinel://a,b`) asks sentinels for
 * the master that `masterName` names; user, password and database are the master's, and
 * what a later URL leaves out it has from the first.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `cluster` | `cluster` | `false` | whether the hosts are nodes of a cluster |
 * | `wait_for_replicas` | `waitForReplicas` | 0 | how many replicas have what is confirmed |
 * | `master_name` | `masterName` | - | the master's name; sentinels need it |
 * | `sentinel_username` | `sentinelUsername` | - | as whom to ask the sentinels |
 * | - | `sentinelPassword` | - | their password |
 * | `visibility_timeout` (s) | `visibilityTimeout` (ms) | 1 hour | how long a message may be unacked before somebody else gets it, unless its holder lives and renews it |
 * | `fanout` | `fanout` | `queue` | `queue` puts into every bound queue of ours, and publishes for Kombu's; `pubsub` is Kombu's own way, for present listeners |
 * | `fanout_prefix`, `fanout_patterns` | `fanoutPrefix`, `fanoutPatterns` | `true` | the names of PUB/SUB channels, as Kombu's |
 * | `priority_order` | `priorityOrder` | `highest-first` | `lowest-first` is Kombu's order on Redis |
 * | `priority_steps` | `prioritySteps` | 0, 3, 6, 9 | the priorities that have a list of their own |
 * | `queue_order_strategy` | `queueOrderStrategy` | `round-robin` | also `priority` (as named) and `sorted` |
 * | `global_keyprefix` | `globalKeyPrefix` | - | before every key and channel |
 * | `sep` | `separator` | bytes 6, 22 | between the parts of keys and bindings |
 * | `unacked_key`, `unacked_index_key` | `unackedKey`, `unackedIndexKey` | `unacked`, `unacked_index` | where unacked messages are; shared by all that use the database |
 *
 * Capabilities: all; `queued-fanout` is not among them with `fanout: "pubsub"`.
 * Priorities are told apart as far as they have lists of their own.
 *
 * A queue is there if one of ours declared it or consumes from it by its name, if
 * messages lie in it, if Kombu has bound it to an exchange or has one of its messages
 * unacked, or if a message that came by the same connection names it as `replyTo`.
 * An empty queue of Kombu's that is bound to no exchange leaves no trace: declare it, or
 * publish with `mandatory: false`, which puts the message there all the same. A name that
 * is not known costs a `SCAN` of the database's keys; without the right to that, every
 * queue is taken to be there.
 *
 * A message is taken and noted as unacked in one step, and waiting takes nothing. Messages that a
 * lost connection held go back with the next one of the same `Connection`; those of a killed
 * process go back within half a minute, and so do those of a process that is silent for so long,
 * unless `visibilityTimeout` is given: then it is waited for as long while its socket is there
 * (without the right to CLIENT, while it may be); all other unacked messages, Kombu's too, go back
 * after the visibility timeout. A message that lives longer than its lease because its holder was
 * busy is somebody else's: an ack of it is a `SettlementError`, and removes nothing. An entry of a
 * queue that is no message goes to `onInvalid`, and stays in the list `dashi.malformed.<queue>`
 * until it is acked.
 *
 * A key that is kept for something else (`unacked`, `dashi.…`, `_kombu.binding.…`) cannot
 * be a queue. A binding whose routing key contains the separator is seen by ours alone.
 *
 * A fanout exchange puts a message into each bound queue that one of ours has declared or consumes,
 * in one step (or in pieces, where there are more than a thousand), and announces it by PUB/SUB to Kombu's consumers, who get it as from their own. A
 * message that Kombu publishes to it reaches all of ours that consume from a queue of the exchange:
 * one of them puts it into each of its queues, once. While none of ours consumes, nobody hears it,
 * as in Kombu; a user without the right to PUB/SUB neither hears nor announces. A queue that Kombu
 * alone has bound gets nothing into its list, which no fanout consumer of Kombu's reads.
 *
 * Declarations that Kombu's layout has no place for (types, arguments, headers and exchange
 * bindings, consumers, owners) are kept under keys that begin with `dashi.`. With
 * `fanout: "pubsub"` up to 10,000 messages wait for a queue's consumers in the process; then
 * the oldest go.
 *
 * An ordered queue (`x-ordered`) is ours alone: its messages are kept by their keys, under
 * `dashi.ordered.…`. A message that others push to its list is filed by its header `x-key`, 500
 * messages at a time, and comes without a key if it has none; an ordered queue has no priorities. With
 * `fanout: "pubsub"` it cannot be bound to a fanout exchange.
 *
 * A delayed message is moved to its queue when its time has come by a connection of
 * ours: the one that published it, any that consumes, or the next that publishes. While
 * none is open it waits.
 *
 * A connection is two sockets, however many queues it consumes. The server tells of new
 * messages by CLIENT TRACKING; where it refuses that, queues are looked at once a second
 * while nothing comes. A server that has become a replica, or takes no writes, is a lost
 * connection: it is dialled again, and with `sentinel://` the sentinels are asked anew.
 *
 * The transport does without everything that the server may refuse: the name of a
 * connection, `INFO`, `SCRIPT`, `SELECT 0`, tracking. A user whose channels are limited
 * gets fanout if they are all under `global_keyprefix`, or else messages that are published without a
 * routing key or with a binding's. A full memory (`noeviction`) refuses publishes;
 * consumers go on, new ones too.
 *
 * A queue with `x-expires` ends with Kombu 5.7's means, where nobody looks too: its lists
 * expire, and its bindings have a deadline, which is twice its time or an hour. While one of ours consumes,
 * its lists live as long as the bindings; a publisher of Kombu's that declared it lets them
 * live for its time from then on, whoever consumes. A message that is published with
 * `mandatory: false` to such a queue when its time is over lies in a list for other programs,
 * which lives as long again.
 *
 * The total size of a queue with `x-max-length-bytes` is kept beside it. If Kombu, which knows
 * nothing of it, puts or takes there, the limit holds by the mean of the sizes, and is looked at
 * anew after an eighth of the messages. After a failover the old master may still confirm for some
 * seconds messages that are lost: `min-replicas-to-write` on the servers prevents it.
 *
 * `redis://a:7000,b:7000/0?cluster=1` is a Redis Cluster, or a Valkey's, by some of its nodes or
 * a configuration endpoint (`docs/redis_cluster.md`): each queue has a slot of its own, a message
 * to several queues is put by a script for each, and a connection is two sockets to each
 * primary. Without `cluster` a node of one is refused at connect. ioredis reads the environment when it is loaded: beside `--allow-net=host:port` it needs
 * `--allow-env` or `--ignore-env`.
 *
 * @example Connect
 * ```ts ignore needs Redis
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("redis://localhost/0");
 * await connection.connect();
 * ```
 *
 * @module
 */

export type { RedisTransportOptions } from "./options.ts";
export { nativeClient } from "./native_client.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
