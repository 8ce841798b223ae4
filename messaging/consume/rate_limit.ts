import { Ring } from "../../async/ring.ts";
import type { Clock } from "../../async/clock.ts";
import { OptionError, UnsupportedError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkInterval } from "../operation_options.ts";
import type { Message } from "./message.ts";

/** How often handlers are called at most. @typeParam T The type of its messages' `payload`. */
export interface RateLimitOptions<T = unknown> {
  /** The most messages that a handler begins with in any `interval`. */
  readonly limit: number;
  /** Milliseconds. */
  readonly interval: number;
  /**
   * Names the group of a message: each has the limit for itself. Messages that wait for
   * their group are in hand, and count as unsettled, so that `prefetch` bounds them; others
   * are handled meanwhile. @default {one limit for all messages}
   */
  readonly key?: ((message: Message<T>) => string) | undefined;
  /** Over what the limit counts: this call of `run`. `"queue"`, over all processes, is not supported by any broker yet. @default {"process"} */
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

/** After so many messages the groups that are not in use are forgotten. */
const SWEEP_EVERY = 1000;

/**
 * Counts messages that handlers begin with, in windows that slide: in none of the length
 * `interval`, wherever it begins, are there more than `limit`.
 */
export class RateLimit<T> {
  readonly #limit: number;
  readonly #interval: number;
  readonly #key: RateLimitOptions<T>["key"];
  readonly #clock: Clock;
  /** When a group's last messages began, on the clock. */
  readonly #begun = new Map<string, Ring<number>>();
  #count = 0;

  /** Makes one that has counted nothing. */
  constructor(options: RateLimitOptions<T>, clock: Clock) {
    this.#limit = options.limit;
    this.#interval = options.interval;
    this.#key = options.key;
    this.#clock = clock;
  }

  /** Whether messages have groups. */
  get isKeyed(): boolean {
    return this.#key !== undefined;
  }

  /** How many groups are remembered. */
  get size(): number {
    return this.#begun.size;
  }

  /**
   * Names the group of a message.
   *
   * @throws As the user's function does.
   */
  keyOf(message: Message<T>): string {
    return this.#key?.(message) ?? "";
  }

  /** Milliseconds until one more of a group may begin: 0 if it may now. */
  delay(key: string): number {
    const begun = this.#begun.get(key);
    if (begun === undefined) return 0;
    const now = this.#clock.now();
    this.#forget(begun, now);
    if (begun.size < this.#limit) return 0;
    return Math.max(0, (begun.at(0) ?? now) + this.#interval - now);
  }

  /** One of a group begins now. */
  note(key: string): void {
    const now = this.#clock.now();
    let begun = this.#begun.get(key);
    if (begun === undefined) this.#begun.set(key, begun = new Ring());
    this.#forget(begun, now);
    begun.push(now);
    if (++this.#count % SWEEP_EVERY === 0) this.#sweep(now);
  }

  #forget(begun: Ring<number>, now: number): void {
    for (;;) {
      const first = begun.at(0);
      if (first === undefined || first + this.#interval > now) return;
      begun.shift();
    }
  }

  #sweep(now: number): void {
    for (const [key, begun] of this.#begun) {
      this.#forget(begun, now);
      if (begun.size === 0) this.#begun.delete(key);
    }
  }
}

/**
 * Refuses what is no limit.
 *
 * @typeParam T The type of the messages' `payload`.
 * @param rateLimit The given value.
 * @throws {OptionError} If it is something else, or has an option that is unknown.
 * @throws {RangeError} If a number is out of range.
 * @throws {UnsupportedError} If it is to count over all processes.
 */
export function checkRateLimit<T>(
  rateLimit: RateLimitOptions<T> | undefined,
): void {
  if (rateLimit === undefined) return;
  checkKnown(rateLimit, RATE_LIMIT);
  const { limit, interval, scope = "process" } = rateLimit;
  checkCount("limit", limit, 1_000_000);
  checkInterval("interval", interval);
  if (scope === "process") return;
  if (scope === "queue") {
    throw new UnsupportedError(
      'Cannot limit the rate with the scope "queue": no broker counts over all processes yet; use "process", and divide "limit" by their number',
    );
  }
  throw new OptionError(
    `Cannot use ${
      quote(scope)
    } as "scope" of rateLimit: it must be "process", or "queue"`,
  );
}
