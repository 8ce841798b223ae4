import { MAX_WAIT } from "../model/checks.ts";
import { PreconditionFailedError } from "../model/errors.ts";
import type { FieldTable, FieldValue } from "../model/field_table.ts";

type Check = (value: FieldValue) => string | undefined;

const isText: Check = (value) =>
  typeof value === "string" ? undefined : "a string";

function isNumber(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  const right = most === Number.MAX_SAFE_INTEGER
    ? `a whole number of ${least} or more`
    : `a whole number from ${least} to ${most}`;
  return (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= least &&
      value <= most
      ? undefined
      : right;
}

/** The most partitions of an ordered queue. */
const MAX_PARTITIONS = 256;

const isPartitions = isNumber(1, MAX_PARTITIONS);

const isOrdered: Check = (value) => {
  const right = value === true ? undefined : isPartitions(value);
  return right === undefined ? undefined : `true, or ${right}`;
};

const OVERFLOWS: readonly FieldValue[] = [
  "drop-head",
  "reject-publish",
  "reject-publish-dlx",
];

/** The arguments of queues that have a meaning here, and the values that they may have. */
const CHECKS: ReadonlyMap<string, Check> = new Map<string, Check>([
  ["x-message-ttl", isNumber(0, MAX_WAIT)],
  ["x-expires", isNumber(1, MAX_WAIT)],
  ["x-max-length", isNumber(0)],
  ["x-max-length-bytes", isNumber(0)],
  ["x-max-priority", isNumber(1, 255)],
  ["x-dead-letter-exchange", isText],
  ["x-dead-letter-routing-key", isText],
  [
    "x-overflow",
    (value) => OVERFLOWS.includes(value) ? undefined : OVERFLOWS.join(", "),
  ],
  ["x-ordered", isOrdered],
]);

/** The names of arguments that make two declarations of a queue unequal; others are the application's own, and ignored. */
export const QUEUE_ARGUMENTS: readonly string[] = [...CHECKS.keys()];

/**
 * Refuses arguments of a queue that make no sense.
 *
 * @param name The queue's name, for the error.
 * @param arguments_ Its arguments.
 * @throws {PreconditionFailedError} If one is bad: it names it.
 */
export function checkQueueArguments(
  name: string,
  arguments_: FieldTable,
): void {
  for (const [argument, check] of CHECKS) {
    const value = arguments_[argument];
    const right = value === undefined ? undefined : check(value);
    if (right === undefined) continue;
    throw new PreconditionFailedError(
      `Cannot declare queue "${name}" with "${argument}" ${
        show(value)
      }: it must be ${right}`,
    );
  }
  if (
    arguments_["x-dead-letter-routing-key"] !== undefined &&
    arguments_["x-dead-letter-exchange"] === undefined
  ) {
    throw new PreconditionFailedError(
      `Cannot declare queue "${name}" with "x-dead-letter-routing-key": it needs "x-dead-letter-exchange" too`,
    );
  }
  checkOrdered(name, arguments_);
}

/** In an ordered queue nothing may go before its turn, nor away from the head. */
function checkOrdered(name: string, arguments_: FieldTable): void {
  if (arguments_["x-ordered"] === undefined) return;
  const action = `Cannot declare queue "${name}" with "x-ordered"`;
  if (arguments_["x-max-priority"] !== undefined) {
    throw new PreconditionFailedError(
      `${action} and "x-max-priority": the messages of a key come in the order in which they were published`,
    );
  }
  const limit = ["x-max-length", "x-max-length-bytes"].find((each) =>
    arguments_[each] !== undefined
  );
  if (limit === undefined || queueTraits(arguments_).refuses) return;
  throw new PreconditionFailedError(
    `${action} and "${limit}": it cannot drop its oldest messages, for each key has its own; give "x-overflow" the value "reject-publish"`,
  );
}

/** The traits that a queue's arguments give it; a value of the wrong type gives none. */
export interface QueueTraits {
  /** `x-message-ttl`, ms. */
  readonly messageTtl: number | undefined;
  /** `x-expires`: milliseconds without use after which it goes. */
  readonly expires: number | undefined;
  /** `x-max-length`: the maximum number of messages. */
  readonly maxLength: number | undefined;
  /** `x-max-length-bytes`: the maximum number of bytes of bodies. */
  readonly maxBytes: number | undefined;
  /** Whether it refuses messages when it is full, by `x-overflow`; else its oldest messages go. */
  readonly refuses: boolean;
  /** `x-max-priority`. */
  readonly maxPriority: number | undefined;
  /** Whether it hands out the messages of a key one after another, by `x-ordered`. */
  readonly ordered: boolean;
  /** The number in `x-ordered`: on how many partitions the keys are spread, where the broker has such. */
  readonly partitions: number | undefined;
  /** `x-dead-letter-exchange`. */
  readonly deadLetterExchange: string | undefined;
  /** `x-dead-letter-routing-key`. */
  readonly deadLetterRoutingKey: string | undefined;
}

/**
 * Reads what a queue's arguments say.
 *
 * @param arguments_ The arguments.
 * @returns The traits.
 *
 * @example A limit
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { queueTraits } from "@dashi/mq/virtual";
 *
 * const { maxLength, refuses } = queueTraits({
 *   "x-max-length": 100,
 *   "x-overflow": "reject-publish",
 * });
 * assertEquals([maxLength, refuses], [100, true]);
 * ```
 */
export function queueTraits(arguments_: FieldTable): QueueTraits {
  const number = (name: string): number | undefined => {
    const value = arguments_[name];
    return typeof value === "number" ? value : undefined;
  };
  const text = (name: string): string | undefined => {
    const value = arguments_[name];
    return typeof value === "string" ? value : undefined;
  };
  return {
    messageTtl: number("x-message-ttl"),
    expires: number("x-expires"),
    maxLength: number("x-max-length"),
    maxBytes: number("x-max-length-bytes"),
    refuses: text("x-overflow")?.startsWith("reject-publish") ?? false,
    maxPriority: number("x-max-priority"),
    ordered: arguments_["x-ordered"] === true ||
      number("x-ordered") !== undefined,
    partitions: number("x-ordered"),
    deadLetterExchange: text("x-dead-letter-exchange"),
    deadLetterRoutingKey: text("x-dead-letter-routing-key"),
  };
}

/**
 * Says whether a queue has a limit of length.
 *
 * @param traits The traits of the queue.
 * @returns Whether it has.
 */
export function hasLimit(
  { maxLength, maxBytes }: Pick<QueueTraits, "maxLength" | "maxBytes">,
): boolean {
  return maxLength !== undefined || maxBytes !== undefined;
}

/**
 * Shows a value in an error.
 *
 * @param value The value.
 * @returns A text.
 */
export function show(value: FieldValue | undefined): string {
  if (typeof value === "string") return `"${value}"`;
  if (typeof value === "bigint") return `${value}n`;
  return value === undefined ? "nothing" : JSON.stringify(value);
}
