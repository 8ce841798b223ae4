import type { FieldTable } from "../../model/field_table.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { Exchange, ExchangeBinding } from "./exchange.ts";
import type { PayloadSchema } from "./schema.ts";

/** Options of {@linkcode Queue} that queues of each type take. @typeParam T The type of its messages' `payload`. */
export interface CommonQueueOptions<T = unknown> {
  /** The exchange to bind it to; by its name alone it is not declared. */
  // One without a type says nothing of the queue's.
  readonly exchange?: Exchange<T> | Exchange | string | undefined;
  /** The key of that binding, or on a topic exchange the routing pattern. @default {""} */
  readonly routingKey?: string | undefined;
  /** The arguments of that binding: on a headers exchange what to match, and `x-match`. */
  readonly bindingArguments?: FieldTable | undefined;
  /** More bindings. */
  readonly bindings?: readonly ExchangeBinding[] | undefined;
  /** The maximum number of bytes of ready messages; of a stream, of all of it. */
  readonly maxLengthBytes?: number | undefined;
  /** The broker's own arguments; the options above win over equal ones. */
  readonly arguments?: FieldTable | undefined;
  /** The schema of consumers of this queue alone that have none of their own. The broker does not know it. @default {its exchange's} */
  readonly schema?: PayloadSchema<T> | undefined;
}

/** Options of {@linkcode Queue} that queues take which hand out a message once: all but streams. @typeParam T The type of its messages' `payload`. */
export interface OnceQueueOptions<T = unknown> extends CommonQueueOptions<T> {
  /** Milliseconds without use after which the broker deletes it. */
  readonly expires?: number | undefined;
  /** Milliseconds that a message may wait in it. */
  readonly messageTtl?: number | undefined;
  /** The maximum number of ready messages. */
  readonly maxLength?: number | undefined;
  /**
   * What becomes of a message that is one too many: `drop-head` pushes out the oldest, to the
   * dead letters if there are any, `reject-publish` refuses the new one. @default {"drop-head"}
   */
  readonly overflow?: "drop-head" | "reject-publish" | undefined;
  /**
   * Whether it hands out the messages of one `key` one after another and in order, over all
   * processes, and those of other keys meanwhile; it needs the capability `key-order`.
   * `partitions` is for brokers that spread the keys over parts of a queue, 1 to 256, 16 by
   * default; others ignore it. @default {false}
   */
  readonly ordered?: boolean | { readonly partitions?: number | undefined };
  /**
   * The queue for messages that were rejected, expired, or pushed out: it is declared too, by its
   * name alone as durable as this one. Instead of `deadLetterExchange` and
   * `deadLetterRoutingKey`, by which other ways can be said.
   */
  readonly deadLetter?: DeclaredQueue | string | undefined;
  /** The exchange for messages that were rejected, expired, or pushed out; as an `Exchange` it is declared first. */
  readonly deadLetterExchange?: Exchange | string | undefined;
  /** The key for those, instead of their own. */
  readonly deadLetterRoutingKey?: string | undefined;
  /**
   * The waits of `run` before a message whose handler threw is tried again, where its `retry`
   * says none: `min` milliseconds after the first call, twice as many after the second, and so
   * on to `max`. A quorum queue of RabbitMQ 4.3 waits by itself (`x-delayed-retry-…`), and no
   * message is written again; anywhere else the message waits as by `retry`.
   */
  readonly delayedRetry?: DelayedRetry | undefined;
}

/** A `Queue`, as the options of another name it. */
export interface DeclaredQueue extends QueueDeclaration {
  /** All its bindings. */
  readonly bindings: readonly ExchangeBinding[];
  /** The waits of `run` before a message is tried again, where its `retry` says none. */
  readonly delayedRetry: DelayedRetry | undefined;
}

/** The waits before a message is tried again, which grow by the first of them. */
export interface DelayedRetry {
  /** The first wait, and what each adds to the one before, ms. */
  readonly min: number;
  /** The longest wait, ms. */
  readonly max: number;
}

/** Options of {@linkcode Queue}, of RabbitMQ's type `classic` or of the broker's default. @typeParam T The type of its messages' `payload`. */
export interface ClassicQueueOptions<T = unknown> extends OnceQueueOptions<T> {
  /** The type of RabbitMQ's queues that it has; brokers with one kind of queue ignore it. @default {the broker's} */
  readonly type?: "classic" | undefined;
  /** Whether it outlives a restart of the broker. @default {true} */
  readonly durable?: boolean | undefined;
  /** Whether only this connection may use it; it goes with the connection. @default {false} */
  readonly exclusive?: boolean | undefined;
  /** Whether it goes when its last consumer goes. @default {true if exclusive} */
  readonly autoDelete?: boolean | undefined;
  /** The highest priority that it tells apart, 1 to 9, and to 255 where the broker has the capability `wide-priority`. */
  readonly maxPriority?: number | undefined;
}

/** Options of {@linkcode Queue} of RabbitMQ's type `quorum`, which is replicated, and always durable. @typeParam T The type of its messages' `payload`. */
export interface QuorumQueueOptions<T = unknown> extends OnceQueueOptions<T> {
  /** A replicated queue; brokers with one kind of queue ignore it. */
  readonly type: "quorum";
  /** Always true. */
  readonly durable?: true | undefined;
  /** How often a message may come back before it is dead-lettered, or dropped; -1 is without end. @default {20, since RabbitMQ 4.0} */
  readonly deliveryLimit?: number | undefined;
  /** Whether its dead letters are confirmed before they leave it: that needs `overflow: "reject-publish"`. @default {"at-most-once"} */
  readonly deadLetterStrategy?: "at-most-once" | "at-least-once" | undefined;
}

/**
 * Options of {@linkcode Queue} of RabbitMQ's type `stream`: a log that each consumer reads
 * from an `offset` on, and from which nothing is taken. It needs the capability `streams`.
 *
 * @typeParam T The type of its messages' `payload`.
 */
export interface StreamQueueOptions<T = unknown> extends CommonQueueOptions<T> {
  /** A log. */
  readonly type: "stream";
  /** Always true. */
  readonly durable?: true | undefined;
  /** Milliseconds that a message stays in it at least, in whole seconds; without it and `maxLengthBytes` all stay. */
  readonly maxAge?: number | undefined;
  /** The maximum number of bytes of each of its files: what is old is dropped by the file. @default {500,000,000} */
  readonly maxSegmentBytes?: number | undefined;
}

/** Options of {@linkcode Queue}: those that its `type` takes. @typeParam T The type of its messages' `payload`. */
export type QueueOptions<T = unknown> =
  | ClassicQueueOptions<T>
  | QuorumQueueOptions<T>
  | StreamQueueOptions<T>;

type All<T> =
  & ClassicQueueOptions<T>
  & Omit<QuorumQueueOptions<T>, "type" | "durable">
  & Omit<StreamQueueOptions<T>, "type" | "durable">;

/** The options of all types. */
export type AnyQueueOptions<T = unknown> = Partial<Omit<All<T>, "type">> & {
  readonly type?: "classic" | "quorum" | "stream" | undefined;
};
