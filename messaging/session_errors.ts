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
 * Says whether connecting again may succeed where it did before: whatever is in the
 * broker's place for a while, that it is no broker is no reason to give up.
 *
 * @param error Why it failed.
 * @returns Whether to try again.
 */
export function mayPassAgain(error: unknown): boolean {
  return mayPass(error) ||
    (error instanceof ConnectionError && error.code === "connection-failed");
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
 * Makes the error of who has waited for a connection as long as he may.
 *
 * @param broker The broker's URL, without the password.
 * @param error Why the last attempt failed, if one did.
 * @param isFirst Whether there was no connection yet.
 * @returns The error.
 */
export function lateError(
  broker: string,
  error: Error | undefined,
  isFirst: boolean,
): Error {
  // That the time is up says less than why no attempt succeeded.
  if (isFirst && error !== undefined) return asConnectionError(error);
  return new TimeoutError(
    error === undefined
      ? `Cannot connect to "${broker}" in time: it has not answered yet`
      : `Cannot connect to "${broker}" in time: ${error.message}`,
    { cause: error, outcome: "not-sent" },
  );
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
