/** The types of RabbitMQ's queues, and what each takes: what it refuses is refused before it is sent. */

import { MAX_WAIT } from "../../model/checks.ts";
import { UnsupportedError } from "../../model/errors.ts";
import type { FieldTable, FieldValue } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { number } from "./queue_numbers.ts";
import type { AnyQueueOptions, DelayedRetry } from "./queue_options.ts";

/** The argument that says which type a queue is of. */
const TYPE = "x-queue-type";

/** The arguments that RabbitMQ refuses for a queue of a type, with the options that make them. */
const REFUSED: Readonly<
  Record<string, readonly (readonly [string, string])[]>
> = {
  classic: [
    ["x-delivery-limit", "deliveryLimit"],
    ["x-dead-letter-strategy", "deadLetterStrategy"],
    ["x-delayed-retry-type", ""],
    ["x-delayed-retry-min", ""],
    ["x-delayed-retry-max", ""],
    ["x-quorum-initial-group-size", ""],
    ["x-max-age", "maxAge"],
    ["x-stream-max-segment-size-bytes", "maxSegmentBytes"],
    ["x-initial-cluster-size", ""],
  ],
  quorum: [
    ["x-max-priority", "maxPriority"],
    ["x-queue-mode", ""],
    ["x-max-age", "maxAge"],
    ["x-stream-max-segment-size-bytes", "maxSegmentBytes"],
    ["x-initial-cluster-size", ""],
  ],
  stream: [
    ["x-message-ttl", "messageTtl"],
    ["x-expires", "expires"],
    ["x-max-length", "maxLength"],
    ["x-max-priority", "maxPriority"],
    ["x-overflow", "overflow"],
    ["x-dead-letter-exchange", "deadLetter"],
    ["x-dead-letter-routing-key", "deadLetterRoutingKey"],
    ["x-dead-letter-strategy", "deadLetterStrategy"],
    ["x-delivery-limit", "deliveryLimit"],
    ["x-delayed-retry-type", ""],
    ["x-delayed-retry-min", ""],
    ["x-delayed-retry-max", ""],
    ["x-single-active-consumer", ""],
    ["x-quorum-initial-group-size", ""],
    ["x-queue-mode", ""],
    ["x-ordered", "ordered"],
  ],
};

/** Why not, where there is more to say than that. */
const INSTEAD: Readonly<Record<string, string>> = {
  "quorum x-max-priority":
    "it tells high priorities from others without it (RabbitMQ 4.0)",
  "stream x-max-length": "give it maxLengthBytes or maxAge",
  "stream x-message-ttl": "give it maxAge",
};

/**
 * Makes the arguments of a queue that are of its type.
 *
 * @param queue The queue's name, for errors.
 * @param options The options of the queue.
 * @returns The arguments.
 * @throws {TypeError} If it is of no type that there is.
 * @throws {RangeError} If a number is out of range.
 */
export function typeArguments(
  queue: string,
  options: AnyQueueOptions,
): Record<string, FieldValue> {
  const { type, overflow, deadLetterStrategy, maxAge, delayedRetry } = options;
  const words: Record<string, FieldValue> = {};
  const word = (
    argument: string,
    option: string,
    value: string | undefined,
    all: readonly string[],
  ) => {
    if (value === undefined) return;
    if (!all.includes(value)) {
      throw new TypeError(
        `Cannot make queue "${queue}" with "${option}" ${
          quote(value)
        }: it must be one of ${all.join(", ")}`,
      );
    }
    words[argument] = value;
  };
  word(TYPE, "type", type, Object.keys(REFUSED));
  word("x-overflow", "overflow", overflow, ["drop-head", "reject-publish"]);
  word("x-dead-letter-strategy", "deadLetterStrategy", deadLetterStrategy, [
    "at-most-once",
    "at-least-once",
  ]);
  const age = number(queue, "x-max-age", "maxAge", maxAge, 1);
  const seconds = Math.ceil((age["x-max-age"] ?? 0) / 1000);
  return {
    ...words,
    ...number(
      queue,
      "x-delivery-limit",
      "deliveryLimit",
      options.deliveryLimit,
      -1,
    ),
    ...(seconds === 0 ? {} : { "x-max-age": `${seconds}s` }),
    ...number(
      queue,
      "x-stream-max-segment-size-bytes",
      "maxSegmentBytes",
      options.maxSegmentBytes,
      1,
    ),
    // Of another type it would be refused: there the library waits.
    ...(delayedRetry === undefined || type !== "quorum" ? {} : {
      "x-delayed-retry-type": "failed",
      "x-delayed-retry-min": Math.trunc(delayedRetry.min),
      "x-delayed-retry-max": Math.trunc(delayedRetry.max),
    }),
  };
}

const DELAYED_RETRY: KnownOptions = optionsOf<DelayedRetry>(
  '"delayedRetry" of a Queue',
  { min: true, max: true },
);

/**
 * Checks the waits of a queue before messages are tried again.
 *
 * @param queue The queue's name, for errors.
 * @param given The waits as they were given.
 * @returns The waits; whole milliseconds.
 * @throws {RangeError} If a number is missing, or out of range.
 * @throws {OptionError} If there is another option.
 */
export function delayedRetryOf(
  queue: string,
  given: DelayedRetry | undefined,
): DelayedRetry | undefined {
  if (given === undefined) return undefined;
  checkKnown(given, DELAYED_RETRY);
  const wait = (name: "min" | "max", least: number): number => {
    // One that is missing is refused, too.
    const value = given[name] ?? NaN;
    const option = `delayedRetry.${name}`;
    return number(queue, name, option, value, least, MAX_WAIT)[name] ?? 0;
  };
  const min = wait("min", 1);
  return { min, max: wait("max", min) };
}

/**
 * Refuses a queue that RabbitMQ refuses, or declares as another one than was meant.
 *
 * @param queue The queue, with all of its arguments.
 * @throws {TypeError} If queues of its type do not take one of them.
 */
export function checkType(
  queue: QueueDeclaration & Pick<AnyQueueOptions, "delayedRetry">,
): void {
  const { name, arguments: given } = queue;
  const type = given[TYPE];
  const cannot = (what: string, why: string) =>
    new TypeError(`Cannot make queue "${name}" ${what}: ${why}`);
  if (given["x-dead-letter-strategy"] === "at-least-once") {
    if (
      given["x-overflow"] !== "reject-publish" ||
      given["x-dead-letter-exchange"] === undefined
    ) {
      throw cannot(
        'with "deadLetterStrategy" "at-least-once"',
        'it needs "overflow" "reject-publish", and dead letters',
      );
    }
  }
  if (typeof type !== "string") {
    const option = ofType(given);
    if (option === undefined) return;
    throw cannot(`with "${option[0]}"`, `it needs "type" "${option[1]}"`);
  }
  const refused = REFUSED[type]?.find(([argument]) =>
    given[argument] !== undefined
  );
  if (refused !== undefined) {
    const [argument, option] = refused;
    const instead = INSTEAD[`${type} ${argument}`];
    throw cannot(
      `of type "${type}" with "${option === "" ? argument : option}"`,
      `queues of that type do not take it${
        instead === undefined ? "" : `; ${instead}`
      }`,
    );
  }
  if (type === "stream" && queue.delayedRetry !== undefined) {
    throw cannot(
      'of type "stream" with "delayedRetry"',
      "a consumer calls again for its messages by itself; give run its waits",
    );
  }
  if (type === "classic" || REFUSED[type] === undefined) return;
  const not = queue.exclusive
    ? "exclusive"
    : queue.autoDelete
    ? "autoDelete"
    : queue.durable
    ? undefined
    : "durable: false";
  if (not === undefined) return;
  throw cannot(
    `of type "${type}" as ${not}`,
    `queues of that type are durable, and shared${
      type === "quorum" ? "; give it expires to have it go" : ""
    }`,
  );
}

/** What only queues of one type take, and have without that they say their type: brokers would ignore it. */
function ofType(given: FieldTable): readonly [string, string] | undefined {
  return given["x-dead-letter-strategy"] !== undefined
    ? ["deadLetterStrategy", "quorum"]
    : given["x-max-age"] !== undefined
    ? ["maxAge", "stream"]
    : given["x-stream-max-segment-size-bytes"] !== undefined
    ? ["maxSegmentBytes", "stream"]
    : undefined;
}

/**
 * Makes the error for what takes messages out of a stream.
 *
 * @param action What was asked for.
 * @returns The error.
 */
export function keepsMessages(action: string): UnsupportedError {
  return new UnsupportedError(
    `Cannot ${action}: it is a stream, whose messages stay for all who read it; consume it from an "offset", and publish them elsewhere`,
  );
}

/**
 * Says whether a queue is a stream.
 *
 * @param queue How it is declared.
 * @returns Whether it is.
 */
export function isStream(queue: Pick<QueueDeclaration, "arguments">): boolean {
  return queue.arguments[TYPE] === "stream";
}
