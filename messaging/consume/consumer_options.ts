import type { FieldTable } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import { type KnownOptions, optionsOf } from "../known_options.ts";
import type { Message } from "./message.ts";
import { Queue } from "../entities/queue.ts";
import type { PayloadSchema } from "../entities/schema.ts";

/**
 * Where a consumer of a stream begins: at the first message that is there, the last piece that
 * was written, or what comes from now on; at the message of a number, or of a time, or of a
 * time that lies back as long as it says, such as `"12h"` (in years, months, days, hours,
 * minutes or seconds: `Y`, `M`, `D`, `h`, `m`, `s`).
 */
export type StreamOffset =
  | "first"
  | "last"
  | "next"
  | number
  | Date
  | `${number}${"Y" | "M" | "D" | "h" | "m" | "s"}`;

/** Options of `connection.consumer`. @typeParam T The type of its messages' `payload`. */
export interface ConsumerOptions<T = unknown> {
  /** The maximum number of messages of each queue that are unsettled. @default {100} */
  readonly prefetch?: number | undefined;
  /** The content types to read: MIME types or names of codecs. @default {JSON, plain text and bytes} */
  readonly accept?: readonly string[] | undefined;
  /** Acks each message when it is handed over: it comes at most once. AMQP calls that `no-ack`. @default {false} */
  readonly autoAck?: boolean | undefined;
  /** Whether no other consumer may share the queues. @default {false} */
  readonly exclusive?: boolean | undefined;
  /** The consumer's name, shown by brokers; with several queues it is followed by the queue's. */
  readonly consumerTag?: string | undefined;
  /**
   * Where it begins in its streams, of which it then reads each message, whoever else does;
   * after a reconnect it goes on behind what it has settled. It needs the capability
   * `streams`. @default {"next", in a queue of the type `stream`}
   */
  readonly offset?: StreamOffset | undefined;
  /** The broker's own arguments, such as `x-priority`. */
  readonly arguments?: FieldTable | undefined;
  /**
   * Checks and converts payloads before they are handed over: a Standard Schema, as of
   * Zod, Valibot or ArkType, or a function that throws; either may answer later. A message
   * that it refuses, or that cannot be read, comes neither to the handler of `run` nor to a
   * loop: it goes to `onInvalid`, or is rejected and reported, as a message whose handler
   * has failed for good. @default {the queue's, where it is one}
   */
  readonly schema?: PayloadSchema<T> | undefined;
  /**
   * Called with a message whose payload cannot be read, or is refused by the schema,
   * instead of handing it over. A message that it leaves unsettled is rejected. Without it,
   * and without a schema, reading `payload` throws.
   */
  readonly onInvalid?:
    | ((error: Error, message: Message<T>) => void | Promise<void>)
    | undefined;
  /** The listener of `run` for errors, if `run` is given no `onError` of its own. */
  readonly onError?:
    | ((error: Error, message: Message<T>) => void)
    | undefined;
  /** Ends the consumer, which then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** The known options of a consumer. */
export const CONSUMER: KnownOptions = optionsOf<ConsumerOptions>(
  "connection.consumer",
  {
    prefetch: true,
    accept: "array",
    autoAck: "boolean",
    exclusive: "boolean",
    consumerTag: "string",
    offset: true,
    arguments: "object",
    schema: true,
    onInvalid: "function",
    onError: "function",
    signal: true,
  },
  {
    noAck: '"autoAck"',
    parse: '"schema"',
    onDecodeError: '"onInvalid"',
    concurrency: 'an option of "run"',
    retry: 'an option of "run"',
    onFailure: 'an option of "run"',
  },
);

/**
 * Refuses what cannot be consumed from.
 *
 * @param queues The value as it was given.
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

/**
 * Finds the schema that a consumer of one queue is typed by.
 *
 * @param queues The queues that it consumes from.
 * @returns The queue's schema.
 */
export function schemaOf<T>(
  queues: readonly (Queue | string)[],
): PayloadSchema<T> | undefined {
  const [queue, ...others] = queues;
  if (typeof queue !== "object" || others.length > 0) return undefined;
  return queue.schema as PayloadSchema<T> | undefined; // the compiler has held T to it
}
