import type { FieldTable } from "../../model/field_table.ts";
import { OptionError, UnsupportedError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Link } from "../connection/topology_channel.ts";
import { Queue } from "../entities/queue.ts";
import { isStream } from "../entities/queue_types.ts";
import type { ConsumerOptions } from "./consumer_options.ts";
import { StreamPositions } from "./stream_position.ts";

/** The words that are offsets. */
const WORDS: readonly unknown[] = ["first", "last", "next"];

/**
 * Refuses an offset that RabbitMQ refuses, some versions with the connection.
 *
 * @param options The options of the consumer.
 * @param queues Its queues.
 * @throws {OptionError} If it is none, or a queue is declared as no stream.
 */
export function checkOffset(
  { offset, arguments: given }: Pick<ConsumerOptions, "offset" | "arguments">,
  queues: readonly (Queue | string)[],
): void {
  if (offset === undefined) return;
  if (!isOffset(offset)) {
    throw new OptionError(
      `Cannot use ${
        quote(offset)
      } as "offset": it must be "first", "last", "next", a message's number, a Date, or how long ago, such as "12h"`,
    );
  }
  if (given?.["x-stream-offset"] !== undefined) {
    throw new OptionError(
      'Cannot use "offset" beside the argument "x-stream-offset": they say the same',
    );
  }
  for (const each of queues) {
    if (typeof each === "string" || isStream(each)) continue;
    throw new OptionError(
      `Cannot consume from queue "${each.name}" with "offset": it is not declared with "type" "stream"`,
    );
  }
}

function isOffset(offset: unknown): boolean {
  if (typeof offset === "number") {
    return Number.isSafeInteger(offset) && offset >= 0;
  }
  if (offset instanceof Date) return offset.getTime() >= 0;
  return WORDS.includes(offset) ||
    (typeof offset === "string" && /^\d+[YMDhms]$/.test(offset));
}

/**
 * Makes the positions of a consumer in its streams.
 *
 * @param options The options of the consumer.
 * @param queues Its queues.
 * @returns The positions.
 */
export function positionsOf(
  { offset, arguments: given }: Pick<ConsumerOptions, "offset" | "arguments">,
  queues: readonly (Queue | string)[],
): StreamPositions {
  const all: FieldTable | undefined = offset === undefined
    ? given
    : { ...given, "x-stream-offset": offset };
  const streams = queues.filter((each) =>
    each instanceof Queue && isStream(each)
  );
  return new StreamPositions(all, streams.map((each) => (each as Queue).name));
}

/**
 * Requires a broker that has streams.
 *
 * @param link The connection to it.
 * @throws {UnsupportedError} If it has none.
 */
export function requireStreams({ connection }: Link): void {
  if (connection.capabilities.has("streams")) return;
  throw new UnsupportedError(
    'Cannot consume with "offset": this broker lacks the capability "streams"',
  );
}
