import {
  ClosedError,
  ConnectionError,
  MessagingError,
  TimeoutError,
} from "../model/errors.ts";

/**
 * Says whether connecting may succeed later. A missed deadline counts: behind a silent
 * host there may be a broker again.
 *
 * @param error Why it failed.
 * @returns Whether to try again.
 */
export function mayPass(error: unknown): boolean {
  return error instanceof MessagingError && error.retryable;
}

/**
 * Makes of a missed deadline of an attempt what it is for who wanted the connection.
 *
 * @param error Why it failed.
 * @returns The error to reject with.
 */
export function asConnectionError<E>(error: E): E | ConnectionError {
  if (!(error instanceof TimeoutError)) return error;
  return new ConnectionError(error.message, {
    code: "connection-failed",
    cause: error,
    outcome: "not-sent",
  });
}

/**
 * Makes the error of who comes too late.
 *
 * @returns The error.
 */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use the connection: it is closed", {
    outcome: "not-sent",
  });
}
