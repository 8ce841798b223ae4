import type { FieldTable } from "../model/field_table.ts";
import { checkKnown, type KnownOptions, optionsOf } from "./known_options.ts";
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

const RETRY: KnownOptions = optionsOf<HandlerRetry>(`"retry" of run`, {
  attempts: true,
  backoff: true,
});

const BACKOFF: KnownOptions = optionsOf<HandlerBackoff>(
  `"retry.backoff" of run`,
  { firstDelay: true, mostDelay: true },
);

/** The header that tells which attempt a delivery is; the first has none. */
const ATTEMPTS = "x-attempts";

/**
 * The header of a message whose handler may end its process: how many of its calls are
 * counted if it does so once more. Such a message is handed out alone, and this is
 * written before it is, so that a delivery after that shows that it has done so.
 */
const SUSPECT = "x-suspect";

/** The header that counts deliveries without an end, where the broker only says that there were such. */
const REDELIVERIES = "x-redeliveries";

/** The headers in which `run` counts. */
const OWN_HEADERS = [ATTEMPTS, SUSPECT, REDELIVERIES];

/**
 * Takes out of headers what `run` counts in them: a message that is published, as a dead
 * letter is that is put back with its headers, begins a life of its own.
 *
 * @param headers The headers.
 * @returns The same where there is nothing of that; else a copy without it.
 */
export function withoutAttempts<H extends FieldTable | undefined>(
  headers: H,
): H | FieldTable {
  if (headers === undefined || !OWN_HEADERS.some((name) => name in headers)) {
    return headers;
  }
  const { [ATTEMPTS]: _, [SUSPECT]: __, [REDELIVERIES]: ___, ...rest } =
    headers;
  return rest;
}

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
export function checkRetry(retry: HandlerRetry): void {
  checkKnown(retry, RETRY);
  const { attempts, backoff } = retry;
  checkCount("retry.attempts", attempts, Number.MAX_SAFE_INTEGER);
  if (typeof backoff === "number") checkDelay("retry.backoff", backoff);
  if (typeof backoff !== "object") return;
  checkKnown(backoff, BACKOFF);
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
  // Its handler has ended: it kills nobody.
  const { [SUSPECT]: _, [REDELIVERIES]: __, ...rest } = headers;
  return {
    delay: delayAfter(calls, retry.backoff ?? DEFAULT_BACKOFF),
    headers: { ...rest, [ATTEMPTS]: calls + 1 },
  };
}

/** What {@linkcode judge} looks at. */
export interface Judged {
  /** As they came, whatever somebody has made of them since. */
  readonly receivedHeaders: FieldTable;
  readonly redelivered: boolean;
  readonly deliveryCount: number | undefined;
  /** Whether its attempts are counted by the broker. */
  readonly keepsPlace: boolean;
}

/** What is to be done with a delivery before its handler is called. */
export type Verdict =
  /** Call it, beside others. */
  | { readonly type: "call" }
  /** Call it while no other handler runs. */
  | { readonly type: "call-alone" }
  /** Write it again with these headers; of suspects one at a time. */
  | { readonly type: "mark"; readonly headers: FieldTable }
  | { readonly type: "rewrite"; readonly headers: FieldTable }
  /** It has used up its attempts, without that a handler has ended. */
  | { readonly type: "give-up"; readonly calls: number };

const CALL: Verdict = { type: "call" };
const CALL_ALONE: Verdict = { type: "call-alone" };

/**
 * Decides about a delivery whose handler may have ended its process the last times. That
 * it was delivered before says little: it may have been fetched beside one that did. So
 * it keeps its attempts, and where they would be used up if it was the one, it is called
 * alone, marked before: only what is delivered after that again has used them up.
 *
 * @param retry The policy.
 * @param judged The delivery.
 * @returns What to do.
 */
export function judge({ attempts }: HandlerRetry, judged: Judged): Verdict {
  const { receivedHeaders: headers, redelivered } = judged;
  const { deliveryCount, keepsPlace } = judged;
  const suspected = countIn(headers[SUSPECT]);
  if (!redelivered) return suspected > 0 ? CALL_ALONE : CALL;
  const since = Math.max(1, deliveryCount ?? 1);
  const ended = attemptOf(headers) - 1;
  if (keepsPlace) {
    return ended < attempts ? CALL : { type: "give-up", calls: ended };
  }
  if (suspected > 0) {
    const calls = ended + suspected + since;
    return calls >= attempts
      ? { type: "give-up", calls }
      : { type: "rewrite", headers: { ...headers, [SUSPECT]: calls - ended } };
  }
  const { [REDELIVERIES]: before, ...rest } = headers;
  const seen = countIn(before) + since;
  const left = Math.max(1, attempts - ended - 1);
  if (seen >= left) {
    return { type: "mark", headers: { ...rest, [SUSPECT]: left } };
  }
  if (deliveryCount !== undefined) return CALL;
  return { type: "rewrite", headers: { ...rest, [REDELIVERIES]: seen } };
}

function countIn(value: unknown): number {
  const count = Number(value ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/**
 * Reads which attempt a delivery is.
 *
 * @param headers Its headers. What others put there counts if it is a count.
 * @returns The attempt, from 1.
 */
export function attemptOf(headers: FieldTable): number {
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
