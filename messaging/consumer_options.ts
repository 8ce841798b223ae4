import type { FieldTable } from "../model/field_table.ts";
import type { Message } from "./message.ts";
import type { Schema } from "./schema.ts";

/** Options of `connection.consumer`. @typeParam T What its messages' `payload` is. */
export interface ConsumerOptions<T = unknown> {
  /** The most messages of each queue that are unsettled. @default {100} */
  readonly prefetch?: number | undefined;
  /** The content types to read: MIME types or names of codecs. @default {JSON, plain text and bytes} */
  readonly accept?: readonly string[] | undefined;
  /** Takes messages as settled on delivery: each at most once. @default {false} */
  readonly noAck?: boolean | undefined;
  /** Whether no other consumer may share the queues. @default {false} */
  readonly exclusive?: boolean | undefined;
  /** The consumer's name, shown by brokers; with several queues it is followed by the queue's. */
  readonly consumerTag?: string | undefined;
  /** The broker's own arguments, such as `x-priority`. */
  readonly arguments?: FieldTable | undefined;
  /**
   * Called with a message that can not be read, instead of handing it over; it is
   * rejected afterwards if this has not settled it. Without it, reading `payload`
   * throws.
   */
  readonly onDecodeError?:
    | ((error: Error, message: Message<T>) => void | Promise<void>)
    | undefined;
  /** Checks and converts payloads: a function that throws, or a Standard Schema that answers at once. */
  readonly parse?: ((payload: unknown) => T) | Schema<T> | undefined;
  /** Ends the consumer, which then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** How a consumer is. */
export interface ConsumerHealth {
  /** Whether it consumes, and the broker was heard of in time. */
  readonly healthy: boolean;
  /** Milliseconds since the broker was last heard of, the longest of its queues; `undefined` while it does not consume. */
  readonly silence: number | undefined;
  /** How many messages are with the user, unsettled. */
  readonly inFlight: number;
  /** What went wrong last. */
  readonly lastError: Error | undefined;
}
