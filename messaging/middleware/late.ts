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
