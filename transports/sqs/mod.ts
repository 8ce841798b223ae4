/**
 * Amazon SQS, and SNS for fanout exchanges, by npm:@aws-sdk/client-sqs and
 * npm:@aws-sdk/client-sns. Queues and messages are shared with Kombu and Celery.
 *
 * URL: `sqs://[KEY:SECRET@][host][:port]`, key and secret percent-encoded. Without a
 * host it is AWS's own endpoint of the region. A host is spoken to by plain HTTP, as
 * Kombu does, but for hosts of AWS, or where `is_secure`, `ssl` or the option `tls` says so. A key without
 * its secret takes the option `password` for it.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `region` | `region` | the host's, or `us-east-1` | AWS's region |
 * | `endpoint` | `endpoint` | the URL's host | where SQS is: `https://…` |
 * | `sns_endpoint` | `snsEndpoint` | where SQS is, or AWS's own | where SNS is |
 * | `is_secure` | `isSecure` | true for hosts of AWS | whether the host is spoken to by HTTPS |
 * | - | `credentials` | - | an object, a function that is asked again before they expire, or `"default"` |
 * | `session_token` | `sessionToken` | - | goes with the URL's key |
 * | `wait_time_seconds` | `waitTime` | 20 s, 20000 ms | how long a receive waits for a message, 1 s to 20 s |
 * | `get_wait_time_seconds` | `getWaitTime` | 1 s, 1000 ms | how long a `get` waits; 0 may miss messages |
 * | `visibility_timeout` | `visibilityTimeout` | 1800 s | given to new queues; and, if it is given, how long a message is held without being renewed, which is else a minute |
 * | `queue_name_prefix` | `queueNamePrefix` | - | stands before each name |
 * | `fanout` | `fanout` | `sns` | `sns` makes a topic of each fanout exchange; `queue` leads to the queues that this connection has bound |
 * | `sqs_base64_encoding` | `base64Encoding` | true | whether messages are written as base64 |
 * | `max_message_size` | `maxMessageSize` | 262144 | the largest message as it is sent, up to 1048576 |
 * | - | `predefinedQueues` | - | queues that are there, name to URL or `{ url, region, credentials }`; no other is used |
 * | - | `queueAttributes` | - | more attributes for new queues |
 * | - | `queueTags` | - | tags for new queues |
 *
 * **Credentials.** The library reads no environment variable and no file by itself:
 * without a key in the URL or `credentials` it refuses to connect. With
 * `credentials: "default"` the SDK searches as it always does, for the region too. A
 * function is asked again five minutes before what it gave expires, and at once when AWS
 * says that it has; that request is sent again.
 *
 * **Names** are Kombu's: `.` becomes `-`, other punctuation `_`, a final `.fifo` stays.
 *
 * **Declarations** are known to the connection that made them, and to no other; what is
 * looked up is whether a queue is there. Only the bindings of fanout exchanges are known
 * to all: an exchange is a topic, a binding a subscription, and Kombu's statement in the
 * queue's policy lets the topic send. With `fanout: "queue"` fanout exchanges lead
 * to the queues that this connection has bound. SQS frees the name of a deleted queue a
 * minute later.
 *
 * **Predefined queues** need the rights to send, receive, delete and change visibility,
 * and no others; one that may be read is counted, else its count is 0. One that stands as
 * `{ url, region, credentials }` is signed for with those: its region is else its URL's,
 * or the connection's; its credentials are as the option `credentials`, renewed in the same
 * way, or else the connection's, which needs none where all queues have their own. Requests
 * go to the connection's endpoint, or where there is none, or it is AWS's for another
 * region, to the queue's URL. If one of them cannot be reached, the connection is lost as a
 * whole: for queues that should fail apart make a connection each. For Kombu's
 * `backoff_policy` there is `retry` in `consumer.run`.
 *
 * **Messages.** A received message is held for a minute, or for `visibilityTimeout` if
 * that is given, and renewed as long as it is unsettled; SQS allows twelve hours. A requeue
 * makes it visible at once. A receive that
 * nobody waits for any more is not cut off, for SQS would hand messages to it all the
 * same: what comes is given back. On close one that would end by itself within two seconds
 * is waited for; what SQS hands to an older one is out of sight for that long.
 * Messages are sent, deleted and given back in batches of ten; those of one queue are sent
 * one batch after the other, in order.
 *
 * **Receives count.** SQS counts how often a message was received, and its redrive policy
 * goes by that. So no more is received than handlers begin with at once: `concurrency` of
 * `run`, and one message for each turn of `for await`, up to `prefetch`. The throughput of
 * a busy queue grows with `concurrency`: ten handlers take ten messages with one request.
 * Messages that a pending receive brings to a consumer that is closed count all the same;
 * and one consumer of several queues may be brought a message of each.
 *
 * **Dead letters** are the library's, by the queue's `x-dead-letter-exchange`. A message
 * that is rejected on a queue without it is deleted, unless SQS itself has a redrive policy
 * for the queue, or it may not be known whether it has: then, as with Kombu, it is left,
 * comes again when its time is over, and SQS moves it when it has come too often. A message
 * that `run` parks, with neither of the two, goes into `orders.failed`, at AWS
 * `orders-failed`, and of `jobs.fifo` into `jobs-fifo-failed`, which keeps no order: a FIFO
 * queue would forget a message that fails twice in five minutes. Among predefined queues it
 * has to be predefined; where it is not, the message is left, and an event says so.
 *
 * **Quarantine.** A message that cannot be read, or not be written again, goes into a queue of its own
 * beside the one that it lay in, with its body as it was: `orders-quarantine` beside
 * `orders`, `jobs-fifo-quarantine` beside `jobs.fifo`. It is created with the first such
 * message, keeps it for SQS's longest, two weeks, and is deleted with its queue. Among
 * predefined queues it has to be predefined; where it is not, the message is left. As SQS
 * shows a message by handing it out, two who list at once may see a part each.
 *
 * **Size.** A message that would be larger than 256 KiB on its way is refused before it is
 * sent, and so is a batch: that is what every queue takes. AWS's own take 1 MiB since August
 * 2025, where their `MaximumMessageSize` says nothing else; ElasticMQ and other stand-ins
 * need not. With `max_message_size=1048576` they are sent. To fanout exchanges it is 256 KiB
 * always, as SNS has it for topics that do not say otherwise. In base64, twice, a body takes
 * 16/9 of its size: 147,000 bytes of it are 256 KiB; `compression` makes texts smaller.
 *
 * **FIFO queues** are those whose name ends in `.fifo`; they are ordered queues, declared so
 * or not, and others cannot be. The `key` of a message is its group, percent-encoded where
 * it has characters that SQS does not allow; without one a header `MessageGroupId` names the
 * group, else it is `default`, so that messages without a key wait for each other;
 * duplicates are told by a header `MessageDeduplicationId`,
 * or else by the message id, so that a message which is published again after a lost
 * answer is taken once. With `dedupe` its `id` tells them, for SQS's five minutes. They take
 * no delay. A group is in order whatever happens: one
 * message of it is out at a time, and what is put back, or fails and is to be tried again,
 * comes before what lies behind it, while other groups go on. With `retry` it waits out of
 * sight, in whole seconds, and no copy takes its place: its attempts are how often SQS has
 * handed it out, by a killed process or a `requeue` too, and its header `x-attempts` says so.
 *
 * **Other queues** are sent the `key` as `MessageGroupId`, too: AWS makes them fair by that,
 * where a tenant's many messages do not keep others waiting. Nothing of that is promised
 * here, for the stand-in that this is tested on has no such turns; `key-fairness` is not
 * among the capabilities. A server that knows no groups of such queues refuses the message.
 *
 * Capabilities: `dead-letter`, `delay` up to 15 minutes in whole seconds, `inspect`, `key-order`, `known-queues`,
 * `lease`, `persistence`, `queued-fanout`; `exchange-to-exchange` where fanout is not SNS's,
 * for a queue that hears two topics would have a message of both twice.
 *
 * @example Connect
 * ```ts ignore needs SQS
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("sqs://KEY:SECRET@?region=eu-central-1");
 * await connection.connect();
 * ```
 *
 * @example Predefined queues, one of them another team's
 * ```ts ignore needs SQS
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("sqs://KEY:SECRET@", {
 *   transportOptions: {
 *     predefinedQueues: {
 *       orders: "https://sqs.eu-central-1.amazonaws.com/111111111111/orders",
 *       invoices: {
 *         url: "https://sqs.us-east-1.amazonaws.com/222222222222/invoices",
 *         credentials: () => assumeRole("invoices"), // a function of yours
 *       },
 *     },
 *   },
 * });
 * ```
 *
 * @module
 */

export type { SqsCredentials, SqsCredentialsFunction } from "./credentials.ts";
export type { SqsTransportOptions } from "./options.ts";
export type { SqsPredefinedQueue } from "./predefined.ts";
export { nativeClient } from "./native_client.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
