import type { FieldTable } from "../model/field_table.ts";
import { checkCount } from "./operation_options.ts";

/** Waits that double. */
export interface HandlerBackoff {
  /** Milliseconds before the second call. */
  readonly firstDelay: number;
  /** The longest wait, ms. @default {Infinity} */
  readonly mostDelay?: number | undefined;
}

/** How to try a message again whose handler threw. */
export interface HandlerRetry {
  /** How often the handler is called for a message, the first call included, in however many processes. */
  readonly attempts: number;
  /**
   * Milliseconds between one call and the next: the same each time, doubling, or by a
   * function of how many calls there have been. Whoever waits, waits in the broker, which
   * needs the capability `delay`; 0 does not wait, and needs nothing. @default {from a second, doubling up to a minute}
   */
  readonly backoff?:
    | number
    | HandlerBackoff
    | ((calls: number) => number)
    | undefined;
}

/** The header that tells which attempt a delivery is; the first has none. */
const ATTEMPTS = "x-attempts";

const DEFAULT_BACKOFF: HandlerBackoff = {
  firstDelay: 1000,
  mostDelay: 60_000,
};

/**
 * Refuses a policy that makes no sense.
 *
 * @param retry The policy.
 * @throws {RangeError} If a number is out of range.
 */
export function checkRetry({ attempts, backoff }: HandlerRetry): void {
  checkCount("retry.attempts", attempts, Number.MAX_SAFE_INTEGER);
  if (typeof backoff === "number") checkDelay("retry.backoff", backoff);
  if (typeof backoff !== "object") return;
  const { firstDelay, mostDelay = Infinity } = backoff;
  checkDelay("retry.backoff.firstDelay", firstDelay);
  checkDelay("retry.backoff.mostDelay", mostDelay);
}

/**
 * Says whether a policy ever waits.
 *
 * @param retry The policy.
 * @returns Whether the broker must be able to delay.
 */
export function mayWait({ attempts, backoff }: HandlerRetry): boolean {
  if (attempts === 1) return false;
  if (typeof backoff === "object") return backoff.firstDelay > 0;
  return backoff !== 0;
}

/** What to do with a message whose handler threw: try it again, or no more. */
export interface NextAttempt {
  /** Milliseconds until then. */
  readonly delay: number;
  /** The headers to come back with. */
  readonly headers: FieldTable;
}

/**
 * Decides about a message whose handler threw.
 *
 * @param retry The policy.
 * @param headers The message's headers.
 * @returns The next attempt, or `undefined` if this was the last.
 * @throws {RangeError} If the policy's function gives no delay.
 */
export function planAttempt(
  retry: HandlerRetry,
  headers: FieldTable,
): NextAttempt | undefined {
  const calls = attemptOf(headers);
  if (calls >= retry.attempts) return undefined;
  return {
    delay: delayAfter(calls, retry.backoff ?? DEFAULT_BACKOFF),
    headers: { ...headers, [ATTEMPTS]: calls + 1 },
  };
}

/** Which attempt a delivery is, from 1. What others put in the header counts if it is a count. */
function attemptOf(headers: FieldTable): number {
  const attempt = Number(headers[ATTEMPTS] ?? 1);
  return Number.isSafeInteger(attempt) && attempt > 0 ? attempt : 1;
}

function delayAfter(
  calls: number,
  backoff: number | HandlerBackoff | ((calls: number) => number),
): number {
  if (typeof backoff === "number") return backoff;
  if (typeof backoff === "function") {
    const delay = backoff(calls);
    checkDelay("retry.backoff", delay);
    return delay;
  }
  const { firstDelay, mostDelay = Infinity } = backoff;
  return Math.min(mostDelay, firstDelay * 2 ** (calls - 1));
}

function checkDelay(name: string, value: number): void {
  if (typeof value !== "number" || !(value >= 0)) {
    throw new RangeError(
      `Cannot use ${value} as "${name}": it must be a number of milliseconds, 0 or more`,
    );
  }
}
