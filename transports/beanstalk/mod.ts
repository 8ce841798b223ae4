/**
 * beanstalkd, by a client of the library's own. Kombu's messages, of the version that
 * last spoke beanstalkd, are read, and ours are as its own.
 *
 * URL: `beanstalk://[hostname][:port]`; without more it is
 * `beanstalk://localhost:11300`. beanstalkd knows no users, no TLS and no virtual hosts: a
 * URL that names one is refused.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `ttr` | `timeToRun` | 120 s | how long a consumer that falls silent may keep a message that is published with it, in whole seconds |
 *
 * Capabilities: all but `cancel-delayed`, `known-queues`, `length-limit`, `queue-ttl`
 * and `shared-topology`; and `persistence` where the server keeps a binlog (`-b`).
 *
 * - A queue is a tube. Characters of a queue's name that a tube's may not have are written
 *   as `$` and two hexadecimal digits; names beyond 200 bytes are refused.
 * - Exchanges, bindings and the settings of queues are this connection's alone: others
 *   declare them too. A publish to the default exchange makes the queue. An exclusive
 *   queue goes with its connection, and is kept from others by its name alone.
 * - Of priorities 9 comes first, as everywhere, and is beanstalkd's 0; a message without
 *   one is beanstalkd's 9. Kombu's messages without one are beanstalkd's 0.
 * - An unsettled message is renewed (`touch`) while its consumer lives, by the time to run that
 *   its publisher gave it. `redelivered` and `deliveryCount` are beanstalkd's count of reserves,
 *   which it forgets when it is restarted. A consumer whose process ends gives all back at once;
 *   of one that only falls silent (a power cut, a NAT that forgets) version 1.12 releases the
 *   first alone when its time to run ends, and the others when its socket is closed.
 * - A server that is drained before it is stopped (`SIGUSR1`) refuses messages: where another URL
 *   is given, a connection that publishes leaves it for that one, else the error is retryable.
 *   Connections that only consume empty it.
 * - Messages that others hold of a queue when it is deleted come back to nobody: a job beside its
 *   tube, in `<tube>$$deleted`, which is delayed for years, notes the number below which jobs are
 *   of the queue that is no more. Connections that consumed from it all the while do not read the
 *   note, and a tube's name of more than 191 bytes leaves no room for one.
 * - Delays are whole seconds, rounded up.
 * - beanstalkd knows no time to live: what has expired is not delivered, and is dropped or
 *   dead-lettered by the call that finds it: a consumer, a `get`, a count; and a connection that
 *   waits for messages looks at the queues into which it published such ones. A message's age
 *   is the server's, in whole seconds; the clocks of publisher and consumer, where they agree
 *   with it, tell the part of the second.
 * - A message is stored in base64, a third larger, and may have as many bytes as the server's
 *   `-z` (65,535) allows; a larger one is refused with `message-too-large`.
 * - A job that is no message is buried when it is rejected, and `kick` finds it.
 * - A connection has one socket for its commands, one or two that take messages, and up to eight
 *   that wait for them, opened as they are needed.
 *
 * @example Connect
 * ```ts ignore needs beanstalkd
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("beanstalk://localhost");
 * await connection.connect();
 * ```
 *
 * @module
 */

export type { BeanstalkTransportOptions } from "./options.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
