import { EncodeError, MessagingError } from "./errors.ts";

/**
 * Says whether a message could not be written for a reason that is its own: tried again
 * as it is, it would fail again.
 *
 * @param error The error that writing it has thrown.
 * @returns Whether it has no room, or no form there.
 */
export function isUnwritable(error: unknown): error is Error {
  return error instanceof EncodeError || error instanceof RangeError ||
    error instanceof TypeError || isTooLarge(error);
}

/**
 * Says whether a message could not be written for it is too large.
 *
 * @param error The error that writing it has thrown.
 * @returns Whether it has no room.
 */
export function isTooLarge(error: unknown): boolean {
  return error instanceof MessagingError && error.code === "message-too-large";
}
