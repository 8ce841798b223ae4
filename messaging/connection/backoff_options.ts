import type { Backoff, DefaultDelays } from "../../async/backoff.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkDuration } from "../operation_options.ts";

/** A connection's waits. */
export const RECONNECT_DELAYS: DefaultDelays = {
  initialDelay: 100,
  maxDelay: 10_000,
};

/** The waits between the calls of a handler. */
export const RETRY_DELAYS: DefaultDelays = {
  initialDelay: 1000,
  maxDelay: 60_000,
};

/** The names of a {@linkcode Backoff}'s options, for a table of those that are known. */
export const BACKOFF: { readonly [K in keyof Required<Backoff>]: true } = {
  initialDelay: true,
  maxDelay: true,
  factor: true,
  jitter: true,
};

/** The names that the options for waits had, or have elsewhere. */
export const FORMER_BACKOFF: Readonly<Record<string, string>> = {
  delay: '"initialDelay"',
  firstDelay: '"initialDelay"',
  mostDelay: '"maxDelay"',
};

/**
 * Refuses waits that make no sense.
 *
 * @param name The option that they stand in.
 * @param waits The value as it was given.
 * @throws {RangeError} If a number is out of range.
 */
export function checkBackoff(name: string, waits: Backoff): void {
  const { initialDelay, maxDelay, factor, jitter } = waits;
  if (initialDelay !== undefined) {
    const least = Number.MIN_VALUE;
    const right = `milliseconds above 0 and up to ${MAX_WAIT}`;
    checkNumber(`${name}.initialDelay`, initialDelay, least, MAX_WAIT, right);
  }
  if (maxDelay !== undefined) checkDuration(`${name}.maxDelay`, maxDelay);
  if (factor !== undefined) {
    checkNumber(`${name}.factor`, factor, 1, Number.MAX_VALUE, "1 or more");
  }
  if (jitter !== undefined) {
    checkNumber(`${name}.jitter`, jitter, 0, 1, "from 0 to 1");
  }
}

function checkNumber(
  name: string,
  value: number,
  least: number,
  most: number,
  right: string,
): void {
  if (typeof value === "number" && value >= least && value <= most) return;
  throw new RangeError(
    `Cannot use ${quote(value)} as "${name}": it must be a number, ${right}`,
  );
}
