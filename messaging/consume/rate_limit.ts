import type { Clock } from "../../async/clock.ts";
import { Windows } from "../../async/windows.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkInterval } from "../operation_options.ts";
import type { Message } from "./message.ts";

/** Options of a rate: how often handlers are called at most. @typeParam T The type of its messages' `payload`. */
export interface RateLimitOptions<T = unknown> {
  /** The maximum number of messages that handlers begin with in any `interval`. */
  readonly limit: number;
  /** The length of the interval, ms: any, whenever it begins. */
  readonly interval: number;
  /**
   * Names the group of a message: each has the limit for itself. Messages that wait for
   * their group are in hand, and count as unsettled, so that `prefetch` bounds them; others
   * are handled meanwhile. @default {one limit for all messages}
   */
  readonly key?: ((message: Message<T>) => string) | undefined;
  /**
   * The scope of the count: `"process"`, this call of `run`; or `"queue"`, for each queue all
   * processes that give the same limit, by the broker's clock. The latter needs the capability `shared-rate`. @default
   * {"process"}
   */
  readonly scope?: "process" | "queue" | undefined;
}

const RATE_LIMIT: KnownOptions = optionsOf<RateLimitOptions>("rateLimit", {
  limit: true,
  interval: true,
  key: "function",
  scope: "string",
}, {
  max: '"limit"',
  duration: '"interval"',
  per: '"interval"',
  groupKey: '"key"',
});

/** Counts the messages that handlers begin with in this process. */
export class RateLimit<T> {
  readonly #options: RateLimitOptions<T>;
  readonly #clock: Clock;
  readonly #windows = new Windows();

  /** Makes one that has counted nothing. */
  constructor(options: RateLimitOptions<T>, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Whether messages have groups. */
  get isKeyed(): boolean {
    return this.#options.key !== undefined;
  }

  /**
   * Names the group of a message.
   *
   * @throws As the user's function does.
   */
  keyOf(message: Message<T>): string {
    return groupOf(this.#options, message);
  }

  /** Milliseconds until one more of a group may begin: 0 if it may now. */
  delay(key: string): number {
    return this.#windows.delay(key, this.#options, this.#clock.now());
  }

  /** One of a group begins now. */
  note(key: string): void {
    this.#windows.note(key, this.#options, this.#clock.now());
  }
}

/**
 * Names the group of a message: `""` without a function that does, or if that names none.
 *
 * @typeParam T The type of the message's `payload`.
 * @param options The limit.
 * @param message The message.
 * @returns The group.
 * @throws {OptionError} If the function returns what is no name: two promises are never the same.
 * @throws As the user's function does.
 */
export function groupOf<T>(
  { key }: Pick<RateLimitOptions<T>, "key">,
  message: Message<T>,
): string {
  const group: unknown = key?.(message);
  if (typeof group === "string") return group;
  if (group === undefined || group === null) return "";
  if (typeof group === "number" || typeof group === "bigint") {
    return String(group);
  }
  throw new OptionError(
    `Cannot use ${
      quote(group)
    } as the group of a message: "key" of rateLimit must return a string`,
  );
}

/**
 * Refuses what is no limit.
 *
 * @typeParam T The type of the messages' `payload`.
 * @param rateLimit The given value.
 * @throws {OptionError} If it is something else, or has an option that is unknown.
 * @throws {RangeError} If a number is out of range.
 */
export function checkRateLimit<T>(
  rateLimit: RateLimitOptions<T> | undefined,
): void {
  if (rateLimit === undefined) return;
  checkKnown(rateLimit, RATE_LIMIT);
  const { limit, interval, scope = "process" } = rateLimit;
  checkCount("limit", limit, 1_000_000);
  checkInterval("interval", interval);
  if (scope === "process" || scope === "queue") return;
  throw new OptionError(
    `Cannot use ${
      quote(scope)
    } as "scope" of rateLimit: it must be "process", or "queue"`,
  );
}

/**
 * Refuses to let messages wait in hand that are acked already.
 *
 * @typeParam T The type of the messages' `payload`.
 * @param rateLimit The limit.
 * @param autoAck Whether messages are acked when they are handed over.
 * @throws {OptionError} If they are, and would wait.
 */
export function checkWaits<T>(
  rateLimit: RateLimitOptions<T> | undefined,
  autoAck: boolean | undefined,
): void {
  if (!autoAck || rateLimit === undefined) return;
  const { key, scope } = rateLimit;
  if (key === undefined && scope !== "queue") return;
  throw new OptionError(
    `Cannot let messages of a consumer with autoAck wait for the ${
      key === undefined ? 'scope "queue"' : '"key"'
    } of rateLimit: they are acked when they are taken; limit all of them in this process, without "key" and "scope"`,
  );
}
