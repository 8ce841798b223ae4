import type { FieldTable } from "../../model/field_table.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import type { Entity } from "../entities/entities.ts";
import type { Exchange } from "../entities/exchange.ts";
import { type Kind, type KnownOptions, optionsOf } from "../known_options.ts";
import type { OperationOptions } from "../operation_options.ts";
import type { Queue } from "../entities/queue.ts";

/** The options of a publish that a producer may carry for each of its messages. */
export type PublishDefaults = Omit<
  PublishOptions,
  | "exchange"
  | "routingKey"
  | "declare"
  | "serializer"
  | "compression"
  | "messageId"
  | "transaction"
>;

/**
 * Options of `connection.producer`: where it publishes to, and defaults for each message.
 * An option of the publish itself wins; of headers each by its name.
 *
 * @typeParam T The type of its payloads.
 */
export interface ProducerOptions<T = unknown> extends PublishDefaults {
  /** The exchange to publish to; as an `Exchange` it is declared first. @default {the default exchange} */
  readonly exchange?: Exchange | string | undefined;
  /** The queue to publish to, instead of an exchange and a key; as a `Queue` it is declared first. */
  readonly queue?: Queue<T> | string | undefined;
  /** The key to publish with. @default {""} */
  readonly routingKey?: string | undefined;
  /** Exchanges and queues to declare before the first message. */
  readonly declare?: readonly Entity[] | undefined;
  /** How payloads are written: `"json"`, `"text"`, `"bytes"`, `"yaml"`, `"msgpack"`. @default {bytes for bytes, text for text, json for all else} */
  readonly serializer?: string | undefined;
  /** The compression of bodies: `"gzip"` (Kombu's name for zlib's format), `"brotli"`, `"zstd"`. @default {nothing} */
  readonly compression?: string | undefined;
  /** The maximum number of messages that wait for the broker's answer; further ones wait for their turn. @default {1000} */
  readonly maxInFlight?: number | undefined;
}

/** The queue or exchange that gives a producer its type. @typeParam T The payload's type. */
export type TypedTarget<T> =
  | { readonly queue: Queue<T> }
  | { readonly exchange: Exchange<T> };

/** By what a second message is known, and for how long. */
export interface DedupeOptions {
  /** Names the message, beside its exchange and its routing key: 1 to 255 bytes in UTF-8. @default {its `messageId`} */
  readonly id?: string | undefined;
  /** The time, ms from the publish, in which a second one is put nowhere: 1 to 31,536,000,000, a year. */
  readonly window: number;
}

/** The broker's word on a message that was published with `dedupe`. */
export interface Published {
  /**
   * Whether another `publish` has put a message with this id, exchange and routing key
   * within the window, and this one was put nowhere. `undefined` where the broker does not
   * tell: SQS.
   */
  readonly duplicate: boolean | undefined;
}

/** Options of {@linkcode Producer.publish}. */
export interface PublishOptions extends OperationOptions {
  /** The exchange to publish to; as an `Exchange` it is declared first. `""` is the default exchange. */
  readonly exchange?: Exchange | string | undefined;
  /** The key to publish with; to the default exchange, the queue's name. */
  readonly routingKey?: string | undefined;
  /** Whether it is an error that no queue takes the message; `false` says that this is meant, and no event tells of it. @default {true to the default exchange where the broker knows its queues, else false} */
  readonly mandatory?: boolean | undefined;
  /** Exchanges and queues to declare first; each once a connection. */
  readonly declare?: readonly Entity[] | undefined;
  /** How the payload is written. */
  readonly serializer?: string | undefined;
  /** The compression of the body; `""` is none. */
  readonly compression?: string | undefined;
  /** The MIME type of a payload that is a body already, a string or bytes: it is not serialized. */
  readonly contentType?: string | undefined;
  /** The character set of such a body. */
  readonly contentEncoding?: string | undefined;
  /** The application's own headers. */
  readonly headers?: FieldTable | undefined;
  /**
   * Names what the message is about, in 1 to 128 bytes of UTF-8: an ordered queue hands out
   * the messages of one key one after another, and those of others meanwhile. It travels as
   * the header `x-key`, and in other queues it is that alone. It needs the capability
   * `key-order` or `key-fairness`. @default {a message of no key: none waits for it}
   */
  readonly key?: string | undefined;
  /** From 0 to 9, and to 255 where the broker has the capability `wide-priority`; the higher comes first. A priority above its queue's `maxPriority` counts as that. */
  readonly priority?: number | undefined;
  /** Milliseconds that the message may wait in a queue. */
  readonly expiration?: number | undefined;
  /** Milliseconds until it may be delivered. */
  readonly delay?: number | undefined;
  /** Whether it outlives a restart of the broker. @default {true} */
  readonly persistent?: boolean | undefined;
  /** Says which request a reply belongs to. */
  readonly correlationId?: string | undefined;
  /** The queue that a reply should go to. A `Queue` is declared first. */
  readonly replyTo?: Queue | string | undefined;
  /** Names the message. @default {a random UUID} */
  readonly messageId?: string | undefined;
  /** When the message was made. */
  readonly timestamp?: Date | undefined;
  /** The application's name for this kind of message. */
  readonly type?: string | undefined;
  /** The user that publishes; RabbitMQ checks it. */
  readonly userId?: string | undefined;
  /** The application that publishes. */
  readonly appId?: string | undefined;
  /** Whether to publish again what a lost connection left open: at least once, under the same message id. @default {true unless the connection's `reconnect` is false} */
  readonly retry?: boolean | undefined;
  /**
   * Whether a second message of the same id, exchange and routing key is put nowhere, and for
   * how long; `publish` then tells whether this was one. It needs the capability `dedupe`, or a
   * FIFO queue of SQS. @default {each message is put}
   */
  readonly dedupe?: DedupeOptions | undefined;
  /**
   * A transaction of the broker's own database, by the caller's client: the message is there
   * if and when it commits. What it is published to must have been declared before. It goes
   * without `dedupe` and `retry`, and needs the capability `transaction`.
   * @default {it is there when the call resolves}
   */
  readonly transaction?: SqlTransaction | undefined;
}

/** Options of a publish that tells of duplicates. */
export interface PublishOnceOptions extends PublishOptions {
  /** The id by which a second message is known, and for how long. */
  readonly dedupe: DedupeOptions;
}

/** The options that say of a message what every broker may be told. */
type MessageOption = Exclude<
  keyof PublishDefaults,
  "signal" | "timeout" | "replyTo" | "retry"
>;

/** The type that each of them must have, wherever it is given. */
export const MESSAGE_KINDS: Readonly<Record<MessageOption, Kind>> = {
  mandatory: "boolean",
  contentType: "string",
  contentEncoding: "string",
  headers: "object",
  key: true,
  priority: true,
  expiration: true,
  delay: true,
  persistent: "boolean",
  correlationId: true,
  timestamp: true,
  type: true,
  userId: true,
  appId: true,
  dedupe: "object",
};

/** What other libraries call an option of a publish. */
export const OTHER_WORDS: Readonly<Record<string, string>> = {
  tx: '"transaction"',
  client: '"transaction"',
  groupId: '"key"',
  messageGroupId: '"key"',
  MessageGroupId: '"key"',
  ttl: '"expiration"',
  expires: '"expiration"',
  id: '"messageId"',
  jobId: '"messageId"',
  deduplicationId: '"dedupe: { id, window }"',
  deduplication: '"dedupe: { id, window }"',
  deliveryMode: '"persistent": true or false',
  attributes: '"headers"',
};

/** The options that there are. */
export const PUBLISH: KnownOptions = optionsOf<PublishOptions>("publish", {
  signal: true,
  timeout: true,
  exchange: true,
  routingKey: true,
  declare: true,
  serializer: "string",
  compression: true,
  messageId: true,
  replyTo: true,
  retry: "boolean",
  transaction: true,
  ...MESSAGE_KINDS,
}, {
  ...OTHER_WORDS,
  attempts: 'an option of the consumer: "retry" of "run"',
});

/** Options of `connection.send`: those of a publish, but for where it goes. */
export type SendOptions = Omit<
  PublishOptions,
  "exchange" | "routingKey" | "declare"
>;

/** Options of a `connection.send` that tells of duplicates. */
export interface SendOnceOptions extends SendOptions {
  /** The id by which a second message is known, and for how long. */
  readonly dedupe: DedupeOptions;
}

/** The names in {@linkcode PublishDefaults}, and the type that each must have. */
const DEFAULT_KINDS: Readonly<Record<keyof PublishDefaults, Kind>> = {
  signal: true,
  timeout: true,
  replyTo: true,
  retry: "boolean",
  ...MESSAGE_KINDS,
};

/** Their names. */
export const DEFAULTS: readonly (keyof PublishDefaults)[] = Object.keys(
  DEFAULT_KINDS,
).filter(isDefault);

function isDefault(name: string): name is keyof PublishDefaults {
  return Object.hasOwn(DEFAULT_KINDS, name);
}

/** The options that there are. */
export const PRODUCER: KnownOptions = optionsOf<ProducerOptions>(
  "connection.producer",
  {
    exchange: true,
    queue: true,
    routingKey: "string",
    declare: true,
    serializer: "string",
    compression: "string",
    maxInFlight: true,
    ...DEFAULT_KINDS,
  },
  {
    declares: '"declare"',
    messageId: 'an option of "publish", for each message has its own',
    transaction: 'an option of "publish", for each has its own',
    ttl: '"expiration"',
    expires: '"expiration"',
    deliveryMode: '"persistent": true or false',
  },
);
