import {
  ClosedError,
  ConnectionError,
  type ErrorCode,
  MessagingError,
  NotFoundError,
  TimeoutError,
} from "../../model/errors.ts";
import { asUnknown } from "../../async/steps.ts";
import { nearest } from "../../url/nearest.ts";
import type { ReconnectOptions } from "./connection_options.ts";

/** How the error of a queue that is not there ends where nobody knows which one was meant. */
const MISSING = "there is no such queue; declare it first";

/**
 * Adds to the error of a queue that is not there which one may have been meant, where the
 * broker has not said so.
 *
 * @param error The error of a call.
 * @param queue The queue's name.
 * @param declared The names of the queues that the session has declared.
 * @returns The error to throw instead.
 */
export function withMeant(
  error: unknown,
  queue: string,
  declared: Iterable<string>,
): unknown {
  if (!(error instanceof NotFoundError) || !error.message.endsWith(MISSING)) {
    return error;
  }
  const meant = nearest(queue, declared);
  if (meant === undefined) return error;
  const said = error.message.slice(0, -"; declare it first".length);
  return new NotFoundError(
    `${said}; did you mean "${meant}"? Else declare it first`,
    { cause: error, replyCode: error.replyCode },
  );
}

/**
 * Says whether another attempt may succeed later. Of connecting a missed deadline counts:
 * behind a silent host there may be a broker again.
 *
 * @param error Why it failed.
 * @returns Whether to try again.
 */
export function mayPass(error: unknown): boolean {
  return error instanceof MessagingError && error.retryable;
}

/**
 * Counts final answers in a row to calls that have worked before: a login that is refused, a
 * queue that is not there. They may pass, for passwords change, and nodes come back.
 */
export class Refusals {
  readonly #most: number;
  #count = 0;

  /** Makes one that bears as many as the policy says. */
  constructor(policy: ReconnectOptions | false) {
    this.#most = policy === false ? 0 : policy.maxRefusals ?? Infinity;
  }

  /** Says whether to try again after an error. */
  mayGoOn(error: unknown): boolean {
    if (!(error instanceof Error)) return ++this.#count <= this.#most;
    const goesOn = !ENDS.has(error) && this.#bears(error);
    if (!goesOn) ENDS.add(error);
    return goesOn;
  }

  #bears(error: Error): boolean {
    if (error instanceof MessagingError) {
      if (error.retryable || error.code === "connection-failed") {
        this.#count = 0;
        return true;
      }
      // No other answer of the broker makes these right.
      if (!PASSING_CODES.has(error.code)) return false;
    }
    return ++this.#count <= this.#most;
  }
}

/** The refusals that ended after the allowed number: a caller that has waited for one does not count it again. */
const ENDS = new WeakSet<Error>();

/** Final answers of a broker that may be others later. */
const PASSING_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "connection-lost",
  "authentication-failed",
  "consumer-cancelled",
  "not-found",
  "access-refused",
  "resource-locked",
  "precondition-failed",
]);

/**
 * Makes the error of a call that wanted the connection from the missed deadline of an attempt.
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
 * Makes the error of a call that has waited for a connection until its deadline.
 *
 * @param broker The broker's URL, without the password.
 * @param error Why the last attempt failed, if one did.
 * @param isFirst Whether there was no connection yet.
 * @param isOwn Whether the deadline was the call's own, and not `connectTimeout`.
 * @returns The error.
 */
export function lateError(
  broker: string,
  error: Error | undefined,
  isFirst: boolean,
  isOwn: boolean,
): Error {
  // That the time is up says less than why no attempt succeeded.
  if (isFirst && error !== undefined) return asConnectionError(error);
  const late = new TimeoutError(
    error === undefined
      ? `Cannot connect to "${broker}" in time: it has not answered yet`
      : `Cannot connect to "${broker}" in time: ${error.message}`,
    { cause: error, outcome: "not-sent" },
  );
  // The attempt has the same deadline as connectTimeout: whichever is told first, it is one error.
  return isFirst && !isOwn ? asConnectionError(late) : late;
}

/**
 * Makes the error of a publish that was not answered for in time.
 *
 * @param why The reason for the wait.
 * @param sent Whether it was sent.
 * @param problem Why there is no connection, where that is so: it says more than that the time is up.
 * @returns The error.
 */
export function lateToPublish(
  why: string,
  sent: boolean,
  problem: Error | undefined,
): TimeoutError {
  return new TimeoutError(
    `Cannot publish in time: ${problem?.message ?? why}`,
    { cause: problem, outcome: sent ? "unknown" : "not-sent" },
  );
}

/**
 * Makes the error of a call that comes too late.
 *
 * @returns The error.
 */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use the connection: it is closed", {
    outcome: "not-sent",
  });
}

/**
 * Makes the error of a message that comes after its producer was closed.
 *
 * @returns The error.
 */
export function producerClosed(): ClosedError {
  return new ClosedError("Cannot publish: the producer is closed", {
    outcome: "not-sent",
  });
}

/**
 * Makes the error of a connection that has ended, and nobody says why.
 *
 * @param broker The broker's URL, without the password.
 * @returns The error.
 */
export function closedByItself(broker: string): ConnectionError {
  return new ConnectionError(
    `Connection to "${broker}" was closed by itself`,
    { code: "connection-lost" },
  );
}

/**
 * Makes an error tell the whole: if an earlier attempt may have reached the broker, the
 * last one's error must not deny it.
 *
 * @param last The error of the last attempt.
 * @param first The error of an earlier one.
 * @returns The error to reject with.
 */
export function withOutcome(last: unknown, first: unknown): unknown {
  if (!(first instanceof MessagingError) || first.outcome !== "unknown") {
    return last;
  }
  return asUnknown(last);
}

/**
 * Makes the error for a message that was not published in time.
 *
 * @param sent Whether it may have left.
 * @param problem Why there is no connection, if it is known.
 * @returns The error.
 */
export function late(sent: boolean, problem?: Error): TimeoutError {
  return lateToPublish(
    sent
      ? "the broker has not answered"
      : "the channel for publishing is not ready",
    sent,
    problem,
  );
}

/**
 * Says what a publish wanted of an exchange that was looked for.
 *
 * @param exchange Its name.
 * @param error The error of the look.
 * @returns The error to publish with: another one where there is no such exchange.
 */
export function noExchange(exchange: string, error: unknown): unknown {
  if (!(error instanceof NotFoundError)) return error;
  return new NotFoundError(
    `Cannot publish to exchange "${exchange}": there is no such exchange; give it as new Exchange(…) to declare it, or publish to a queue by "queue"`,
    { cause: error, retryable: error.retryable, outcome: "not-sent" },
  );
}
