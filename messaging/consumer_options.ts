import type { FieldTable } from "../model/field_table.ts";
import { quote } from "../model/foreign_text.ts";
import { type KnownOptions, optionsOf } from "./known_options.ts";
import type { Message } from "./message.ts";
import { Queue } from "./queue.ts";
import type { Schema } from "./schema.ts";

/** Options of `connection.consumer`. @typeParam T What its messages' `payload` is. */
export interface ConsumerOptions<T = unknown> {
  /** The most messages of each queue that are unsettled. @default {100} */
  readonly prefetch?: number | undefined;
  /** The content types to read: MIME types or names of codecs. @default {JSON, plain text and bytes} */
  readonly accept?: readonly string[] | undefined;
  /** Acks each message when it is handed over: it comes at most once. AMQP calls that `no-ack`. @default {false} */
  readonly autoAck?: boolean | undefined;
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
  /** What `run` tells of errors to, where it is given no `onError` of its own. */
  readonly onError?:
    | ((error: Error, message: Message<T>) => void)
    | undefined;
  /** Ends the consumer, which then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** Those that there are. */
export const CONSUMER: KnownOptions = optionsOf<ConsumerOptions>(
  "connection.consumer",
  {
    prefetch: true,
    accept: true,
    autoAck: true,
    exclusive: true,
    consumerTag: true,
    arguments: true,
    onDecodeError: true,
    parse: true,
    onError: true,
    signal: true,
  },
  { noAck: "autoAck" },
);

/**
 * Refuses what cannot be consumed from.
 *
 * @param queues What was given.
 * @throws {TypeError} If there is none, or one is neither a queue nor the name of one.
 */
export function checkQueues(queues: readonly (Queue | string)[]): void {
  if (queues.length === 0) {
    throw new TypeError(
      "Cannot make a consumer of no queue: name at least one",
    );
  }
  for (const each of queues) {
    if (each instanceof Queue) continue;
    if (typeof each === "string" && each !== "") continue;
    throw new TypeError(
      `Cannot make a consumer of ${
        quote(each)
      }: it must be a Queue, or the name of one`,
    );
  }
}
