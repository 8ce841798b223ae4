import {
  ConnectionError,
  MessagingError,
  TimeoutError,
} from "../model/errors.ts";

/**
 * Does what takes several steps at the broker. Once one of them may have changed something
 * there, a later one's error must not say that nothing was sent.
 *
 * @param run Takes the steps; what changes something goes through `change`.
 * @returns The result of `run`.
 * @throws The error of `run`; its `outcome` is `"unknown"` if something may have changed.
 */
export async function inSteps<T>(
  run: (change: <R>(step: Promise<R>) => Promise<R>) => Promise<T>,
): Promise<T> {
  let changes = 0;
  try {
    return await run(async (step) => {
      changes++;
      try {
        return await step;
      } catch (error) {
        if (isNotSent(error)) changes--;
        throw error;
      }
    });
  } catch (error) {
    throw changes > 0 ? asUnknown(error) : error;
  }
}

/**
 * Makes an error tell the whole where something that was done before it may have taken
 * effect.
 *
 * @param error The last error.
 * @returns The error, or one of its kind that does not say that nothing was sent.
 */
export function asUnknown(error: unknown): unknown {
  if (!isNotSent(error)) return error;
  if (error instanceof TimeoutError) {
    return new TimeoutError(error.message, {
      cause: error,
      outcome: "unknown",
    });
  }
  if (
    error instanceof ConnectionError && error.code !== "authentication-failed"
  ) {
    return new ConnectionError(error.message, {
      code: "connection-lost",
      cause: error,
      outcome: "unknown",
    });
  }
  return error;
}

function isNotSent(error: unknown): error is MessagingError {
  return error instanceof MessagingError && error.outcome === "not-sent";
}
