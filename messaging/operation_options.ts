import type { Clock } from "../async/clock.ts";
import { MAX_WAIT } from "../model/checks.ts";
import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "./known_options.ts";

/** Options that every asynchronous call of the public API accepts. */
export interface OperationOptions {
  /** Aborts the call, which then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds within which the call settles. @default {the connection's `operationTimeout`} */
  readonly timeout?: number | undefined;
}

const OPERATION: KnownOptions = optionsOf<OperationOptions>("a call", {
  signal: true,
  timeout: true,
});

/** The limits of a call, below the public API: its signal, and a moment on the clock. */
export interface Call {
  readonly signal: AbortSignal | undefined;
  readonly deadline: number;
  /** Whether they were set just before the call, as in the transports' options. */
  readonly fresh?: boolean | undefined;
}

/**
 * Turns a call's options into its limits.
 *
 * @param options The caller's options.
 * @param clock The time.
 * @param timeout The timeout where the caller gave none, ms.
 * @param known The options that the call takes.
 * @returns The limits.
 * @throws {RangeError} If the timeout is not a number above 0.
 * @throws {OptionError} If an option is unknown, or the signal is none.
 */
export function limitsOf(
  options: OperationOptions | undefined,
  clock: Clock,
  timeout: number,
  known: KnownOptions = OPERATION,
): Call {
  checkLimits(options, known);
  return {
    signal: options?.signal,
    deadline: clock.now() + (options?.timeout ?? timeout),
  };
}

/**
 * Refuses options that are no limits of a call.
 *
 * @param options The caller's options.
 * @param known The options that the call takes.
 * @throws {RangeError} If the timeout is not a number above 0.
 * @throws {OptionError} If an option is unknown, or the signal is none.
 */
export function checkLimits(
  options: OperationOptions | undefined,
  known: KnownOptions = OPERATION,
): void {
  if (options === undefined) return;
  checkKnown(options, known);
  const { signal, timeout } = options;
  checkSignal(signal);
  if (timeout !== undefined) checkDuration("timeout", timeout);
}

/**
 * Refuses a value that is no signal.
 *
 * @param signal The value as it was given.
 * @throws {OptionError} If it is not an `AbortSignal`.
 */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined || typeof signal.throwIfAborted === "function") {
    return;
  }
  throw new OptionError(
    `Cannot use ${
      quote(signal)
    } as "signal": it must be an AbortSignal, such as a controller's "signal"`,
  );
}

/**
 * Refuses a value that is no duration.
 *
 * @param name The option's name.
 * @param value Its value, ms; `Infinity` is a duration.
 * @throws {RangeError} If it is not a number above 0.
 */
export function checkDuration(name: string, value: number): void {
  if (typeof value !== "number" || !(value > 0)) {
    throw new RangeError(
      `Cannot use ${
        quote(value)
      } as "${name}": it must be a number of milliseconds above 0`,
    );
  }
}

/**
 * Refuses a value that is no length of an interval.
 *
 * @param name The option's name.
 * @param value Its value, ms.
 * @throws {RangeError} If it is not a number above 0, and up to ten years.
 */
export function checkInterval(name: string, value: number): void {
  checkDuration(name, value);
  if (value <= MAX_WAIT) return;
  throw new RangeError(
    `Cannot use ${
      quote(value)
    } as "${name}": it must be a number of milliseconds up to ${MAX_WAIT}`,
  );
}

/**
 * Refuses a value that is no time to wait.
 *
 * @param name The option's name.
 * @param value Its value, ms.
 * @throws {RangeError} If it is not a number from 0 to ten years.
 */
export function checkDelay(name: string, value: number): void {
  if (typeof value === "number" && value >= 0 && value <= MAX_WAIT) return;
  throw new RangeError(
    `Cannot use ${
      quote(value)
    } as "${name}": it must be a number of milliseconds, 0 or more and up to ${MAX_WAIT}`,
  );
}

/**
 * Refuses a value that is no count.
 *
 * @param name The option's name.
 * @param value Its value.
 * @param most The largest that is allowed.
 * @throws {RangeError} If it is not a whole number from 1 to `most`.
 */
export function checkCount(name: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new RangeError(
      `Cannot use ${
        quote(value)
      } as "${name}": it must be a whole number from 1 to ${most}`,
    );
  }
}
