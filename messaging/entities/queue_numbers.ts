import { quote } from "../../model/foreign_text.ts";

/** The options that are times. */
const MILLISECONDS = [
  "expires",
  "messageTtl",
  "maxAge",
  "delayedRetry.min",
  "delayedRetry.max",
];

/**
 * Makes an argument of a number.
 *
 * @param queue The queue's name, for the error.
 * @param argument The argument's name.
 * @param option The option's name.
 * @param value The value as it was given.
 * @param least The least that it may be.
 * @param most The most.
 * @returns The argument; none where there is no value.
 * @throws {RangeError} If it is no such number.
 */
export function number(
  queue: string,
  argument: string,
  option: string,
  value: number | undefined,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): Record<string, number> {
  if (value === undefined) return {};
  const whole = Math.trunc(value); // a part of a millisecond has no meaning to a broker
  if (typeof value !== "number" || !(whole >= least && whole <= most)) {
    throw new RangeError(
      `Cannot make queue "${queue}" with "${option}" ${
        quote(value)
      }: it must be a number from ${least} to ${most}${
        MILLISECONDS.includes(option) ? ", milliseconds" : ""
      }`,
    );
  }
  return { [argument]: whole };
}
