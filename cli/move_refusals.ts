/** Why a message stays where it is, and others do not. */

import { UnsupportedError } from "../mod.ts";
import { isUnwritable } from "../model/unwritable.ts";
import { NotTakenError } from "./move_target.ts";

/** What lies in a queue and is no message; or is one that comes back. */
export class UnmovableError extends Error {}

/**
 * Says whether an error is of its message alone.
 *
 * @param error The error.
 * @returns Whether other messages may go on.
 */
export function isOfOne(error: unknown): boolean {
  return error instanceof UnmovableError || error instanceof NotTakenError ||
    error instanceof UnsupportedError || isUnwritable(error);
}
