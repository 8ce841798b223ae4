import type { FieldTable } from "./field_table.ts";
import type { SqlTransaction } from "./transaction.ts";

/** The properties of a message: AMQP 0-9-1's thirteen, `undefined` where not set. */
export interface MessageProperties {
  /** The MIME type of the body. */
  readonly contentType?: string | undefined;
  /** The character set of the body, such as `utf-8`, or `binary`. */
  readonly contentEncoding?: string | undefined;
  /** The application's own headers. */
  readonly headers?: FieldTable | undefined;
  /** Whether the message outlives a restart of the broker. */
  readonly deliveryMode?: "transient" | "persistent" | undefined;
  /** From 0 to 9 where the queue has priorities; the higher comes first. */
  readonly priority?: number | undefined;
  /** Says which request a reply belongs to. */
  readonly correlationId?: string | undefined;
  /** The queue that a reply should go to. */
  readonly replyTo?: string | undefined;
  /** Milliseconds that the message may wait in a queue. */
  readonly expiration?: number | undefined;
  /** Names the message; the producer fills in a UUID where the user gave none. */
  readonly messageId?: string | undefined;
  /** When the message was made, to the second on AMQP. */
  readonly timestamp?: Date | undefined;
  /** The application's name for this kind of message. */
  readonly type?: string | undefined;
  /** The user that publishes; RabbitMQ checks it. */
  readonly userId?: string | undefined;
  /** The application that publishes. */
  readonly appId?: string | undefined;
}

/** The mark that a message leaves at the broker, by which a second one is known. */
export interface Dedupe {
  /** Names the message, beside its exchange and its routing key. */
  readonly id: string;
  /** Milliseconds that the mark stays. */
  readonly window: number;
  /**
   * Names this call of `publish`. A message that is published again, for the first answer
   * was lost, has the same, and is no duplicate of itself.
   */
  readonly token: string;
}

/** A message on its way to an exchange. */
export interface Publishing {
  /** The exchange's name; `""` is the default exchange. */
  readonly exchange: string;
  /** The key that the exchange routes by. */
  readonly routingKey: string;
  /** Whether it is an error that no queue takes the message. */
  readonly mandatory: boolean;
  /** Milliseconds until it may be delivered, by the bindings of now or of then, as the broker does it. 0 is now. */
  readonly delay: number;
  /** Its properties. */
  readonly properties: MessageProperties;
  /** Its body. It is not copied: do not write to it afterwards. */
  readonly body: Uint8Array;
  /**
   * Whether it was in a queue before, and is written again for a retry or as a dead
   * letter. Its headers are then written as they came, where the broker can, though no
   * publisher may send such: `NaN`, which other programs do write.
   */
  readonly republished?: boolean | undefined;
  /**
   * Whether nobody else has its `properties`, who might write to them: a transport that
   * keeps objects need not copy these. Its body, headers and timestamp are another matter.
   * @default {false}
   */
  readonly ownsProperties?: boolean | undefined;
  /** Whether its publisher gave it a key, for its header `x-key`: refused where the broker heeds none. @default {false} */
  readonly keyed?: boolean | undefined;
  /** Whether it is put only if no other left the same mark. Needs the capability `dedupe`. */
  readonly dedupe?: Dedupe | undefined;
  /** The transaction of the caller's that it is put in: it is there if that commits. Needs the capability `transaction`. */
  readonly transaction?: SqlTransaction | undefined;
}

/** Names one delivery on one channel, by consecutive numbers from 1; meaningless anywhere else. */
export type DeliveryTag = number & { readonly brand: "DeliveryTag" };

/**
 * Makes a delivery tag of a number: for channels, which count their deliveries.
 *
 * @param value The count, from 1.
 * @returns The same number, as a tag.
 *
 * @example The first delivery of a channel
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { deliveryTag } from "@dashi/mq/transport";
 *
 * assertEquals(deliveryTag(1) === 1, true);
 * ```
 */
export function deliveryTag(value: number): DeliveryTag {
  return value as DeliveryTag;
}

/** A message on its way to a consumer. */
export interface Delivery {
  /** Names it on its channel. */
  readonly deliveryTag: DeliveryTag;
  /** The queue that it comes from. */
  readonly queue: string;
  /** The exchange that it was published to. */
  readonly exchange: string;
  /** The key that it was published with. */
  readonly routingKey: string;
  /** Whether it may have been delivered before. */
  readonly redelivered: boolean;
  /** How often it was delivered before, where the broker counts; else `undefined`. */
  readonly deliveryCount: number | undefined;
  /** Milliseconds that it had left to live when it was taken, where its broker tells; `undefined` also of one that does not expire. */
  readonly timeLeft?: number | undefined;
  /** Whether what is requeued, now or for later, keeps its place before those behind it. */
  readonly keepsPlace?: boolean | undefined;
  /** Whether its header `x-attempts` is how often the broker has handed it out, and what is requeued keeps its headers. */
  readonly countsAttempts?: boolean | undefined;
  /**
   * Whether its header `x-attempts` counts what the broker counts: handlers that failed, and
   * connections that were lost while somebody had it, maybe without beginning with it.
   */
  readonly countsFailures?: boolean | undefined;
  /** Whether it lies in a stream, which all its readers read: nothing is put there again for one of them. */
  readonly isOfStream?: boolean | undefined;
  /** How long the broker itself waits, ms, where it is told that a handler failed for it; without it the broker does not. */
  readonly retryDelay?: number | undefined;
  /** Its properties as they came, where `properties` and `body` are a copy already: what is changed in that goes nowhere. */
  readonly received?: MessageProperties | undefined;
  /** Its properties. */
  readonly properties: MessageProperties;
  /**
   * Whether it surely came without a header of this name, in ASCII: where that can be said
   * for less than it takes to read its properties.
   */
  lacksHeader?(name: string): boolean;
  /** Its body. */
  readonly body: Uint8Array;
  /** Set where what lay in the queue is no message: `body` is its raw bytes. Goes to `onInvalid`. */
  readonly malformed?: Error | undefined;
}

/** One thing that a schema finds wrong with a payload. */
export interface PayloadIssue {
  /** The description of the problem. */
  readonly message: string;
  /** Its path: the keys from the outside in; empty for the whole. */
  readonly path: readonly PropertyKey[];
}
