import { TimeoutError } from "../../model/errors.ts";

/**
 * Makes the error of a message that its user waits for, and a middleware keeps.
 *
 * @param what The message, in words.
 * @returns The error.
 */
export function notHandedOver(what: string): TimeoutError {
  return new TimeoutError(
    `Cannot read ${what} in time: a middleware has not handed it over`,
    { outcome: "unknown" },
  );
}

/**
 * Makes the error of a payload whose schema does not answer.
 *
 * @param what The message, in words.
 * @returns The error.
 */
export function notChecked(what: string): TimeoutError {
  return new TimeoutError(
    `Cannot read ${what} in time: its schema has not answered`,
    { outcome: "unknown" },
  );
}

/**
 * Makes the error of a settlement that a middleware keeps.
 *
 * @param action The settlement: follows `Cannot `.
 * @param queue The queue of its message.
 * @returns The error.
 */
export function notPassedOn(action: string, queue: string): TimeoutError {
  return new TimeoutError(
    `Cannot ${action} a message of queue "${queue}" in time: the "settle" of a middleware has not ended`,
    { outcome: "not-sent" },
  );
}
