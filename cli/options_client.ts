import { type Command, InvalidArgumentError, Option } from "commander";
import type { Context } from "./context.ts";

/** A command, as it is run on a connection. Resolves with the code to end with. */
export type Action = (context: Context) => Promise<number>;

/** Runs the action of a command. */
export type Run = (command: Command, action: Action) => Promise<void>;

/** How many at most in a time. */
export interface Rate {
  readonly limit: number;
  /** Milliseconds. */
  readonly interval: number;
}

const INTERVALS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** The option `--count`. */
export interface CountOptions {
  readonly count: number;
}

/**
 * Makes the option `--count`.
 *
 * @param description What is counted.
 * @param count Where it is not given.
 * @param most The largest that is taken.
 * @returns The option.
 */
export function countOption(
  description: string,
  count: number,
  most: number = Infinity,
): Option {
  const read = (text: string) => {
    if (whole(text) <= most) return Number(text);
    throw new InvalidArgumentError(
      `It must be a whole number from 1 to ${most}.`,
    );
  };
  return new Option("-n, --count <number>", description).argParser(read)
    .default(count);
}

/** Collects the values of an option that is given several times. */
export function collect(
  value: string,
  before: readonly string[] = [],
): string[] {
  return [...before, value];
}

/** Reads a whole number from 1. */
export function whole(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

/** Reads a priority. */
export function priority(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) <= 255) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 0 to 255.");
}

/** Reads a number, 0 or more. */
export function number(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a number, 0 or more.");
}

/** Reads a number over 0. */
export function positive(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError("It must be a number over 0.");
}

/** Reads a rate. */
export function rate(text: string): Rate {
  const [, limit, unit = "s"] = /^([1-9]\d{0,5})(?:\/([smh]))?$/.exec(text) ??
    [];
  const interval = INTERVALS[unit];
  if (limit !== undefined && interval !== undefined) {
    return { limit: Number(limit), interval };
  }
  throw new InvalidArgumentError(
    "It must be a whole number from 1 and a unit of time, as 50/s, 30/m or 10/h.",
  );
}
