/**
 * AMQP 0-9-1 over TCP and TLS, by npm:amqplib: RabbitMQ, and what speaks as it does.
 * The default transport.
 *
 * URL: `amqp://[username[:password]@][hostname][:port][/virtual-host]`, and `amqps://` for
 * TLS, which verifies. Aliases of the scheme: `pyamqp`, `amqplib`. Without more it is
 * `amqp://guest:guest@localhost:5672//`; with TLS the port is 5671. Of
 * `amqp://host/name` the virtual host is `name`, of `amqp://host//name` it is `/name`.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `frame_max` | `frameMax` | 0 | the largest frame in bytes; 0 takes what the broker offers |
 * | `channel_max` | `channelMax` | 0 | the maximum number of channels; 0 takes what the broker offers |
 * | `login_method` | `loginMethod` | `PLAIN` | `PLAIN`, or `EXTERNAL` with a client certificate |
 * | - | `clientProperties` | - | told to the broker, and shown by it |
 * | - | `managementUrl` | - | RabbitMQ's management API, by which `connection.inspect()` sees all queues |
 *
 * Capabilities, on RabbitMQ and LavinMQ: all but `cancel-delayed`, `dedupe`, `key-fairness`, `lease` and
 * `quarantine`; `inspect` with `managementUrl`. Integers in headers travel as signed 32 or 64 bits, which Kombu reads as they are; a `Date` to the second. A body that is larger than
 * the broker's `max_message_size` is refused with `message-too-large`. Of another server
 * than these, by what it says that it is, no more is claimed than AMQP 0-9-1 has:
 * `exclusive`, `known-queues`, `persistence`, `queued-fanout`, `shared-topology`.
 *
 * Headers and arguments have to fit into a frame (128 KiB as RabbitMQ comes), names of
 * queues and exchanges have no line ends, for RabbitMQ drops them: what does not is
 * refused before it is sent. Headers that RabbitMQ makes larger itself, with `x-death`, are
 * read.
 *
 * RabbitMQ has no delay of its own. Delayed messages wait in durable queues that the
 * first of them declares, `dashi_delayed_<level>`, one for each binary digit of the delay
 * in seconds, rounded up; 2^28 - 1 seconds is the maximum. The exchange or queue that they
 * are for is bound to `dashi_delayed_delivery`, which takes the permission to configure
 * and write these. They are routed by the bindings of then. A delayed message cannot
 * have an expiration, `BCC`, or be mandatory to another than the default exchange.
 *
 * From RabbitMQ 3.10 on they are quorum queues that dead-letter at least once: what
 * waits outlives the restart of a cluster's nodes, one by one. A message that finds no
 * queue when it is due waits in `dashi_delayed_missed` for a minute, for the node of a
 * classic queue may come back, and is dropped if there is none then. A queue that is full
 * and refuses (`x-overflow: reject-publish`) holds up what waits behind its messages, for
 * up to three minutes at a time. Classic queues that an earlier version has declared stay,
 * and lose messages that expire while a node is down: delete the exchange
 * `dashi_delayed_delivery` and the queues, when they are empty, to have them declared anew.
 *
 * Each connection declares them with its first delayed message. If one is found gone later,
 * `publish` rejects with `publish-refused`, and the next declares it again; the messages
 * that waited in it are lost. So leave them out of policies: `expires` deletes a queue
 * whose messages wait longer than that, with them; `message-ttl` shortens delays;
 * `max-length` drops what waits longest, or with `overflow: reject-publish` refuses. An
 * operator policy cannot be overridden either.
 *
 * A connection that publishes and consumes is two TCP connections to the broker, by the
 * same name, for it reads nothing from those that publish while it is short of memory or
 * disk. The second is opened with the first need for both; where the broker lets nobody
 * have it, all go over the first. Each has `channel_max` channels.
 *
 * An ordered queue is, as RabbitMQ has none, an exchange `<name>.keys` and partitions,
 * `<name>.1` to `<name>.<n>`, 16 where nobody says, each with a single active consumer. A
 * message with a key carries two numbers of its hash, in the headers `dashi_key_16` and
 * `dashi_key_256`, which consumers do not see. A message waits for the
 * others of its partition. An ordered queue has a name, and its exclusive consumers are refused.
 *
 * @example Connect
 * ```ts ignore needs RabbitMQ
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("amqp://guest:guest@localhost//");
 * await connection.connect();
 * ```
 *
 * @module
 */

export type { AmqpTransportOptions } from "../amqp_protocol/options.ts";
export { nativeClient } from "./native_client.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
