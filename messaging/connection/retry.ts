import { asError } from "../../model/error_text.ts";
import { backoff } from "../../async/backoff.ts";
import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import { MessagingError, TimeoutError } from "../../model/errors.ts";
import { RECONNECT_DELAYS } from "./backoff_options.ts";
import type { ReconnectOptions } from "./connection_options.ts";
import type { Call } from "../operation_options.ts";

/** The longest wait for what asks no broker, ms. */
const BRIEF = 1000;

/** The services that {@linkcode retry} has from its session. */
export interface RetryHost {
  readonly reconnectPolicy: ReconnectOptions | false;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: () => number;
}

/** Which errors {@linkcode retry} takes for passing, and what hears of waits. */
export interface RetryRules {
  /** Says which errors may pass. @default {those of a lost connection or channel} */
  readonly retries?: ((error: unknown) => boolean) | undefined;
  /** Called before each wait. */
  readonly onWait?:
    | ((attempt: number, delay: number, error: Error) => void)
    | undefined;
}

/**
 * Tries again what failed and may succeed yet: the only such loop in the library.
 *
 * @param host How often, and with which waits.
 * @param call How long it may go on.
 * @param attempt The attempt; called with the number of attempts that failed before.
 * @param options Which errors may pass.
 * @returns The result of the attempt that succeeds.
 * @throws The last attempt's error: where there is no time for another wait it says more than that the time is up. One that had no time left tells why the attempt before it failed.
 */
export async function retry<T>(
  { reconnectPolicy: policy, clock, limits, random }: RetryHost,
  call: Call,
  attempt: (failures: number) => Promise<T>,
  { retries = isLost, onWait }: RetryRules = {},
): Promise<T> {
  let before: Error | undefined;
  for (let failures = 0;; failures++) {
    try {
      return await attempt(failures);
    } catch (last) {
      const error = before === undefined ? last : withCause(last, before);
      if (!retries(last) || policy === false) throw error;
      if (failures + 1 >= (policy.attempts ?? Infinity)) throw error;
      const wait = backoff(failures, policy, RECONNECT_DELAYS, random());
      const delay = asksNobody(last) ? Math.min(wait, BRIEF) : wait;
      if (clock.now() + delay >= call.deadline) throw error;
      // There is no other attempt, and nothing to tell: it failed because nobody wants it.
      call.signal?.throwIfAborted();
      before = asError(last);
      onWait?.(failures + 1, delay, before);
      await sleep(delay, call, clock, limits);
    }
  }
}

/** A deadline that passed before an attempt began hides why the attempt before it failed. */
function withCause(error: unknown, before: Error): unknown {
  if (
    !(error instanceof TimeoutError) || error.outcome !== "not-sent" ||
    error.cause !== undefined
  ) return error;
  const isUnknown = before instanceof MessagingError &&
    before.outcome === "unknown";
  return new TimeoutError(
    `${error.message}; the attempt before it failed: ${before.message}`,
    { cause: before, outcome: isUnknown ? "unknown" : "not-sent" },
  );
}

/** Whether an attempt came to nothing here: another one costs the broker nothing. */
function asksNobody(error: unknown): boolean {
  return error instanceof MessagingError &&
    error.code === "channels-exhausted";
}

/**
 * Says whether trying again makes sense.
 *
 * @param error The error of an attempt.
 * @returns Whether it is an error of the world that may pass.
 */
export function isRetryable(error: unknown): error is MessagingError {
  return error instanceof MessagingError && error.retryable &&
    error.code !== "timed-out";
}

/**
 * Says whether something was lost that is had again: a connection, a channel. One that
 * could not be had at all was tried long enough.
 *
 * @param error The error of an operation.
 * @returns Whether to try the operation again.
 */
export function isLost(error: unknown): boolean {
  return isRetryable(error) && error.code !== "connection-failed";
}

/**
 * Waits.
 *
 * @param delay Milliseconds.
 * @param call The call whose signal ends it.
 * @param clock The time.
 * @param limits The limits of the session.
 * @returns A promise that rejects with the signal's reason.
 */
export function sleep(
  delay: number,
  call: Pick<Call, "signal">,
  clock: Clock,
  limits: Limits,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (call.signal?.aborted) return reject(call.signal.reason);
    const stop = clock.timer(() => {
      unwatch();
      resolve();
    }, delay);
    const unwatch = limits.watch({ signal: call.signal }, (reason) => {
      stop();
      reject(reason?.aborted);
    });
  });
}
