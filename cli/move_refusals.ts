/** Why a message stays where it is, and others do not. */

import { type ErrorCode, MessagingError } from "../mod.ts";
import { NotTakenError } from "./move_target.ts";

/** What lies in a queue and is no message; or is one that comes back. */
export class UnmovableError extends Error {}

/**
 * Says whether an error is of its message alone. What no broker can write is a `TypeError`,
 * or a `RangeError`.
 *
 * @param error The error.
 * @returns Whether other messages may go on.
 */
export function isOfOne(error: unknown): boolean {
  return error instanceof UnmovableError || error instanceof NotTakenError ||
    error instanceof TypeError || error instanceof RangeError ||
    error instanceof MessagingError && OF_ONE.has(error.code);
}

const OF_ONE: ReadonlySet<string> = new Set<ErrorCode>([
  "encode-failed",
  "message-too-large",
  "unsupported",
]);
