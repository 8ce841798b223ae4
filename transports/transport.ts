/**
 * The contract for transports: one kind of broker, a connection to it, and the
 * channels on that connection, with AMQP 0-9-1's verbs. `messaging/` sees brokers
 * through it alone. A broker that has queues but no exchanges implements the much
 * smaller `Store` of `@dashi/mq/store` instead.
 *
 * The rules that the types cannot express:
 *
 * 1. `connect` tries once. No transport retries, reconnects, logs, or sleeps
 *    longer than its poll.
 * 2. Errors are `MessagingError`s with a code, an honest `retryable`, and
 *    `outcome` where a message may or may not have left; an abort rejects with
 *    `signal.reason` itself; a missed `deadline` rejects with `TimeoutError` and
 *    closes the channel or connection that still owes the answer; closing always ends quietly.
 * 3. Disposal is idempotent, works while calls are pending (they reject with
 *    `use-after-close`), and returns unsettled messages to their queues.
 * 4. A message is routed by the bindings at the time of the publish, and is delivered
 *    once to each queue, however many bindings match.
 * 5. Requeue goes back to the same queue, marked as redelivered.
 * 6. At most `prefetch` deliveries of a consumer are unsettled; messages that were fetched
 *    but not handed over are given back when the subscription ends.
 * 7. A capability that is not in the set fails when it is asked for (at declare,
 *    or at publish) with `UnsupportedError`: nothing is silently dropped.
 * 8. Settling a tag of another or of an ended channel rejects with
 *    `SettlementError` and never reaches the wire.
 *
 * `@dashi/mq/conformance` checks these.
 *
 * @example A transport's module
 * ```ts ignore a sketch
 * import type { Transport } from "@dashi/mq/transport";
 *
 * export function createTransport(): Transport {
 *   return { name: "mine", connect: (url, options) => dial(url, options) };
 * }
 * ```
 *
 * @module
 */

import type { Clock } from "../async/clock.ts";
import type { Binding } from "../model/binding.ts";
import type { CallOptions } from "../model/call_options.ts";
import type { ExchangeDeclaration } from "../model/exchange.ts";
import type { FieldTable } from "../model/field_table.ts";
import type {
  Delivery,
  DeliveryTag,
  MessageProperties,
  Publishing,
} from "../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../model/queue.ts";
import type { TlsOptions } from "../model/tls_options.ts";
import type { BrokerUrl, UrlDefaults } from "../url/broker_url.ts";
import type { Capability, DelayedMessages, Inspection } from "./capability.ts";
import type { Parked, ParkOptions } from "./parking.ts";
import type { OutboxRows } from "./outbox.ts";
import type { Rates } from "./rates.ts";
import type { Peer } from "./peer.ts";
import type { ServerInfo } from "./server_info.ts";
import type { TransportEvent } from "./transport_event.ts";

export type { Clock } from "../async/clock.ts";
export type * from "../model/binding.ts";
export type * from "../model/call_options.ts";
export type {
  ExchangeDeclaration,
  ExchangeType,
  RoutingType,
} from "../model/exchange.ts";
export type { FieldTable, FieldValue } from "../model/field_table.ts";
export type {
  Dedupe,
  Delivery,
  DeliveryTag,
  MessageProperties,
  PayloadIssue,
  Publishing,
} from "../model/message.ts";
export type { QueueDeclaration, QueueStatus } from "../model/queue.ts";
export type {
  QueryTransaction,
  SqliteTransaction,
  SqlTransaction,
  UnsafeTransaction,
} from "../model/transaction.ts";
export type { ReplyCode, ReplyCodeName } from "../model/reply_code.ts";
export type { TlsOptions } from "../model/tls_options.ts";
export type * from "../url/broker_url.ts";
export type * from "./capability.ts";
export type * from "./parking.ts";
export type { Peer } from "./peer.ts";
export type * from "./server_info.ts";
export type * from "./transport_event.ts";
export * from "../model/errors.ts";
export { deliveryTag } from "../model/message.ts";

/** The exports of a broker's module, which is imported on the first connect. */
export interface TransportModule {
  /** Makes the transport. */
  createTransport(): Transport;
}

/** One kind of broker. Holds no state: all of it is in the connection. */
export interface Transport {
  /** Its name: the first of its aliases. */
  readonly name: string;
  /** For URLs of a transport that the library does not know itself. */
  readonly defaults?: UrlDefaults | undefined;
  /**
   * Imports its client, if its module did not: the time that this takes is not that of `connect`.
   *
   * @throws {TransportError} If it cannot be imported.
   */
  load?(): Promise<void>;
  /** Connects once. The caller owns retries, failover and recovery. */
  connect(
    url: BrokerUrl,
    options: ConnectOptions,
  ): Promise<TransportConnection>;
}

/** Options of {@linkcode Transport.connect}. */
export interface ConnectOptions extends CallOptions {
  /** A name for the connection, shown by brokers that list connections. */
  readonly name?: string | undefined;
  /** Whether, and how, to speak TLS. @default {as the scheme says} */
  readonly tls?: boolean | TlsOptions | undefined;
  /** Milliseconds between signs of life; 0 turns them off. */
  readonly heartbeat: number;
  /** The maximum number of bytes of one answer, beyond which the server is cut off. @default {67_108_864} */
  readonly maxResponseSize?: number | undefined;
  /** Asked before each connect, where the password is not in the URL. */
  readonly password?:
    | ((call?: CallOptions) => string | Promise<string>)
    | undefined;
  /** The transport's own options, not yet read. */
  readonly transportOptions: Readonly<Record<string, unknown>>;
  /** For the transport's own calls (polls, renewals, closing), ms. */
  readonly operationTimeout: number;
  /** The session's name, the same over its reconnects: what an earlier connection of it still holds goes back at once. */
  readonly owner: string;
  /** Whether there are other brokers to go on with: one that takes nothing more may be left for them. @default {false} */
  readonly hasOthers?: boolean | undefined;
  /** The time. */
  readonly clock: Clock;
  /** Called with what the broker says unasked. Must not throw. */
  readonly onEvent?: ((event: TransportEvent) => void) | undefined;
}

/** Why a connection or a channel ended. */
export type CloseReason =
  | { readonly type: "closed" }
  | { readonly type: "lost"; readonly error: Error };

/** An open connection. Disposing of it is closing it. */
export interface TransportConnection extends AsyncDisposable {
  /** The capabilities of the broker. */
  readonly capabilities: ReadonlySet<Capability>;
  /** Settles once, when the connection has ended. Never rejects. */
  readonly closed: Promise<CloseReason>;
  /**
   * Whether a call that fails leaves its channel, and the calls beside it, as they are: then
   * the library declares several queues at once on one. @default {false}
   */
  readonly callsFailAlone?: boolean | undefined;
  /**
   * The name of a queue that is none, where the broker has one: a consumer of it without
   * acks gets the replies to messages that are published with it as `replyTo` on the same
   * channel, and no queue is made for it. The broker may lack it all the same: then
   * consuming rejects.
   */
  readonly directReplyTo?: string | undefined;
  /** The step of its delays, ms: one is rounded up to it. @default {1} */
  readonly delayStep?: number | undefined;
  /** Rates that hold over all connections: with the capability `shared-rate`. */
  readonly rates?: Rates | undefined;
  /** Rows that are written in transactions of the caller's, to be published elsewhere: with the capability `transaction`. */
  readonly outbox?: OutboxRows | undefined;
  /** Looks into the broker: with the capability `inspect`. */
  readonly inspection?: Inspection | undefined;
  /** Asks the server what it is; `undefined` where it tells nothing. */
  serverInfo?(options?: CallOptions): Promise<ServerInfo | undefined>;
  /** Tells who is at the other end of its socket; `undefined` where it has none, or has several. */
  peer?(): Peer | undefined;
  /** Tells the URL of a queue, where its queues have such, as far as it is known; nothing is asked. */
  queueUrl?(queue: string): string | undefined;
  /** Ends it at once and without a word to the broker, which does not answer. */
  destroy?(): void;
  /** The client underneath, for `connection.native`; `undefined` if there is none to hand out. */
  native?(): unknown;
  /** Opens a channel. */
  openChannel(options?: OpenChannelOptions): Promise<Channel>;
}

/**
 * Tells `connection.native` which client is wanted, and gives it its type. Transports that
 * hand theirs out export one from their entry points.
 *
 * @typeParam T The client.
 */
export interface NativeClient<T> {
  /** The client's name, for errors. */
  readonly name: string;
  /** Whether a connection's client is this one. */
  is(client: unknown): client is T;
}

/** The purpose that a channel is opened for. */
export type ChannelUse = "publish" | "consume" | "declare";

/** Options of {@linkcode TransportConnection.openChannel}. */
export interface OpenChannelOptions extends CallOptions {
  /**
   * The purpose of the channel. A broker that is short of memory reads nothing from
   * publishers, but consumers must hear from it all the same. A declaration that is
   * exclusive to this connection counts as consuming.
   * @default {"consume"}
   */
  readonly use?: ChannelUse | undefined;
}

/**
 * An open channel. Calls take effect in order. Disposing of it cancels its
 * consumers and requeues unsettled messages.
 */
export interface Channel extends AsyncDisposable, DelayedMessages {
  /** Settles once, when the channel has ended. Never rejects. On AMQP a failed declare ends it. */
  readonly closed: Promise<CloseReason>;
  /** Whether one that is opened anew for the same use would serve better: this one's connection publishes, and is not read from. */
  readonly superseded?: boolean | undefined;

  /** Declares an exchange, or checks that an equal one is there. */
  declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void>;
  /** Checks that an exchange is there: AMQP's passive declare. */
  checkExchange(name: string, options?: CallOptions): Promise<void>;
  /** Deletes an exchange and its bindings. */
  deleteExchange(name: string, options?: DeleteOptions): Promise<void>;

  /** Declares a queue, or checks that an equal one is there. The status has the name that the broker chose. */
  declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus>;
  /** Looks at a queue: AMQP's passive declare. */
  checkQueue(name: string, options?: CallOptions): Promise<QueueStatus>;
  /** Deletes a queue, its bindings and its messages; returns how many. A queue that is not there is deleted already: 0. */
  deleteQueue(name: string, options?: DeleteQueueOptions): Promise<number>;
  /** Removes the ready messages of a queue; returns how many. */
  purgeQueue(name: string, options?: CallOptions): Promise<number>;

  /** Adds a binding. Adding it twice is adding it once. */
  bind(binding: Binding, options?: CallOptions): Promise<void>;
  /** Removes a binding. Removing one that is not there does nothing. */
  unbind(binding: Binding, options?: CallOptions): Promise<void>;

  /** Publishes a message, and waits for the broker to answer for it. Many may wait at once. */
  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome>;
  /** Takes one message, or `undefined` if the queue is empty. */
  get(queue: string, options?: GetOptions): Promise<Delivery | undefined>;
  /** Takes several by one request, fewer where no more come at once; without it each is taken by itself. */
  getMany?(
    queue: string,
    max: number,
    options?: GetOptions,
  ): Promise<readonly Delivery[]>;
  /** Starts a consumer: `deliver` is called for each message, in order, and must not throw. */
  consume(
    queue: string,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<Subscription>;

  /**
   * Lists the quarantined messages of a queue, the oldest first. It is absent, as `putBack`
   * is, if there is no quarantine because the broker dead-letters the original of a message
   * that cannot be written again.
   */
  listQuarantined?(
    queue: string,
    options: QuarantineOptions,
  ): Promise<readonly Quarantined[]>;
  /** Puts quarantined messages back into their queue: those with these ids, or all. Returns how many. */
  putBack?(
    queue: string,
    ids: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number>;

  /**
   * Settles a delivery: it is done. Rejects with `SettlementError` if the broker no longer
   * holds it for us. As `reject` and `park` it sends nothing where its signal has aborted
   * or its deadline has passed before: the delivery is unsettled then.
   */
  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void>;
  /** Settles a delivery: back to its queue, or away. */
  reject(tag: DeliveryTag, options: RejectOptions): Promise<void>;
  /**
   * Settles a delivery that failed for good: to the dead letters of its queue, with
   * headers that say why, and where its queue dead-letters nowhere, or they lead nowhere,
   * to the queue that `failedQueue` of `@dashi/mq/virtual` names, which is declared when
   * it is missing. The message is there before it leaves its queue; where that fails it
   * stays unsettled.
   */
  park(tag: DeliveryTag, options: ParkOptions): Promise<Parked>;
}

/** Options of {@linkcode Channel.get}. A message that was got is renewed like any other. */
export interface GetOptions extends CallOptions {
  /** Takes messages as settled on delivery. */
  readonly noAck?: boolean | undefined;
  /** Called with deliveries whose lease was lost: someone else may have them now. */
  readonly onLost?: ((tags: readonly DeliveryTag[]) => void) | undefined;
}

/** Options of {@linkcode Channel.consume}. */
export interface ConsumeOptions extends GetOptions {
  /** The consumer's name on its channel. @default {chosen for you} */
  readonly consumerTag?: string | undefined;
  /** Whether no other consumer may share the queue. */
  readonly exclusive?: boolean | undefined;
  /** The broker's own arguments, such as `x-priority`. */
  readonly arguments?: FieldTable | undefined;
  /** The maximum number of deliveries of this consumer that wait for settlement, from 1 to 65535. */
  readonly prefetch: number;
  /**
   * How many more messages somebody would begin with at once. Brokers that count against
   * a message how often it was handed out, whatever became of it, are asked for no more.
   * Others may be asked for many together, and for a few only while this is above 0.
   */
  readonly wanted?: (() => number) | undefined;
}

/** Options of {@linkcode Channel.deleteExchange}. */
export interface DeleteOptions extends CallOptions {
  /** Rejects with `precondition-failed` if something uses it. */
  readonly ifUnused?: boolean | undefined;
}

/** Options of {@linkcode Channel.deleteQueue}. */
export interface DeleteQueueOptions extends DeleteOptions {
  /** Rejects with `precondition-failed` if it has messages. */
  readonly ifEmpty?: boolean | undefined;
}

/** Options of {@linkcode Channel.listQuarantined}. */
export interface QuarantineOptions extends CallOptions {
  /** The maximum number of messages to list. */
  readonly limit: number;
}

/** A message in quarantine: it could not be read, or not be written again. */
export interface Quarantined {
  /** The broker's name for it there. */
  readonly id: string;
  /** The exchange that it was published to. */
  readonly exchange: string;
  /** The key that it was published with. */
  readonly routingKey: string;
  /** Its properties; none where it cannot be read. */
  readonly properties: MessageProperties;
  /** Its body; where it cannot be read, the bytes that lay in the queue. */
  readonly body: Uint8Array;
  /** Why it cannot be read, where it cannot. */
  readonly malformed: Error | undefined;
}

/** Options of {@linkcode Channel.ack}. */
export interface SettleOptions extends CallOptions {
  /** Settles every delivery of the channel up to this one. */
  readonly multiple?: boolean | undefined;
}

/** Options of {@linkcode Channel.reject}. */
export interface RejectOptions extends SettleOptions {
  /** Back to its queue; else it is dead-lettered, or dropped. */
  readonly requeue: boolean;
  /** With `requeue`: back to the same queue after so many ms, its exchange and key kept. The fields that retries are made of. */
  readonly delay?: number | undefined;
  /** With `requeue`: instead of its headers. */
  readonly headers?: FieldTable | undefined;
  /** With `requeue`, and without the two above: a handler failed for it, and it has a `retryDelay`. */
  readonly failed?: boolean | undefined;
}

/** The outcome of a publish. */
export type PublishOutcome =
  | {
    readonly type: "accepted";
    /** How many queues took it, where the broker tells. */
    readonly queues: number | undefined;
  }
  /** It has `dedupe`, and another call of `publish` has left that mark: it was put nowhere. */
  | { readonly type: "duplicate" }
  | {
    /** It was mandatory, and no queue took it. */
    readonly type: "returned";
    /** The broker's words. */
    readonly replyText: string;
    /** The name of a queue that may have been meant, where the transport knows. */
    readonly nearest?: string | undefined;
  };

/** Why a consumer ended. */
export type EndReason =
  | { readonly type: "cancelled" }
  | { readonly type: "ended-by-broker" | "lost"; readonly error: Error };

/** A running consumer. Disposing of it cancels it and gives back what `deliver` was not given; the rest stays unsettled. */
export interface Subscription extends AsyncDisposable {
  /** The consumer's name on its channel. */
  readonly consumerTag: string;
  /**
   * Whether its messages are handed out in the order of their keys as long as none goes back
   * by itself: what is given back beside it would be overtaken by what was fetched behind it,
   * so that goes back with its channel. @default {false}
   */
  readonly ordered?: boolean | undefined;
  /** When the broker last answered, on the clock (ms). */
  readonly lastHeard: number;
  /** Milliseconds between the broker's answers while all is well. */
  readonly heardEvery: number;
  /** Settles once, when nothing more will be delivered: cancelled by us, by the broker, or lost. Never rejects. */
  readonly ended: Promise<EndReason>;
  /**
   * With `noAck`, where messages are pulled: says that so many deliveries are out
   * of the way, and as many more may come. Without it a `noAck` consumer would
   * buffer without bound, as RabbitMQ, which pushes, cannot help doing.
   */
  readonly taken?: ((count: number) => void) | undefined;
  /** Says that more is `wanted` than before, if the transport goes by that. */
  readonly wake?: (() => void) | undefined;
}
