import { type Backoff, backoff } from "../../async/backoff.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import { OptionError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import type { DelayedRetry } from "../entities/queue_options.ts";
import {
  BACKOFF,
  checkBackoff,
  FORMER_BACKOFF,
  RETRY_DELAYS,
} from "../connection/backoff_options.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkDelay } from "../operation_options.ts";

/**
 * How to try a message again whose handler threw: at first after a second, and at least
 * every minute, unless the waits say otherwise. The message waits in the broker, which
 * needs the capability `delay`.
 */
export interface RetryOptions extends Backoff {
  /** How often the handler is called for a message, the first call included, in however many processes. @default {5} */
  readonly attempts?: number | undefined;
  /**
   * Waits of one's own, instead of those above: the milliseconds between one call and
   * the next, or a function of how many calls there have been. 0 does not wait, and needs
   * nothing of the broker.
   */
  readonly backoff?: number | ((calls: number) => number) | undefined;
}

/** How often the handler is called by default. */
export const ATTEMPTS_BY_DEFAULT = 5;

/** The retry policy of `run` by default. */
export const DEFAULT_RETRY: RetryOptions = {};

const RETRY: KnownOptions = optionsOf<RetryOptions>(
  `"retry" of run`,
  { attempts: true, ...BACKOFF, backoff: true },
  FORMER_BACKOFF,
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

/**
 * Refuses a policy that makes no sense.
 *
 * @param retry The policy.
 * @throws {RangeError} If a number is out of range.
 * @throws {OptionError} If an option is unknown, or contradicts another.
 */
export function checkRetry(retry: RetryOptions): void {
  checkKnown(retry, RETRY);
  const { attempts, backoff } = retry;
  if (attempts !== undefined) {
    checkCount("retry.attempts", attempts, Number.MAX_SAFE_INTEGER);
  }
  checkBackoff("retry", retry);
  if (backoff === undefined) return;
  const waits = Object.keys(BACKOFF) as (keyof Backoff)[];
  const other = waits.find((name) => retry[name] !== undefined);
  if (other !== undefined) {
    throw new OptionError(
      `Cannot use "retry.backoff" beside "retry.${other}": give waits of your own, or what they are made of`,
    );
  }
  if (typeof backoff === "function") return;
  if (typeof backoff === "number") {
    return checkDelay("retry.backoff", backoff);
  }
  throw new OptionError(
    `Cannot use ${
      quote(backoff)
    } as "retry.backoff": it must be milliseconds, or a function of how many calls there have been; ${
      waits.join(", ")
    } stand beside "attempts"`,
  );
}

/**
 * Says whether a policy ever waits.
 *
 * @param retry The policy.
 * @returns Whether the broker must be able to delay.
 */
export function mayWait({ attempts, backoff }: RetryOptions): boolean {
  return attempts !== 1 && backoff !== 0;
}

/**
 * Says whether a policy says how long to wait; else its queue may.
 *
 * @param retry The policy.
 * @returns Whether it says so.
 */
export function saysWaits({ backoff, ...rest }: RetryOptions): boolean {
  const waits = Object.keys(BACKOFF) as (keyof Backoff)[];
  return backoff !== undefined ||
    waits.some((name) => rest[name] !== undefined);
}

/** The next attempt of a message whose handler threw. */
export interface NextAttempt {
  /** Milliseconds until then. */
  readonly delay: number;
  /** Whether the broker waits, and counts: nothing is written again. */
  readonly byBroker: boolean;
  /** Which one it will be. */
  readonly attempt: number;
  /** The headers to come back with. */
  readonly headers: FieldTable;
}

/** The message that {@linkcode planAttempt} looks at. */
export interface Attempted {
  /** Which call it was, from 1. */
  readonly attempt: number;
  /** As they came, whatever somebody has made of them since. */
  readonly receivedHeaders: FieldTable;
  /** The waits of its queue, where it says some. */
  readonly delayedRetry?: DelayedRetry | undefined;
  /** How long the broker itself would wait, ms, where it can. */
  readonly retryDelay?: number | undefined;
}

/**
 * Decides about a message whose handler threw.
 *
 * @param retry The policy.
 * @param message The message: which call it was, and its headers.
 * @param random A number from 0 to 1, by chance.
 * @returns The next attempt, or `undefined` if this was the last.
 * @throws {RangeError} If the policy's function gives no delay.
 */
export function planAttempt(
  retry: RetryOptions,
  { attempt: calls, receivedHeaders, delayedRetry, retryDelay }: Attempted,
  random: number,
): NextAttempt | undefined {
  const { attempts = ATTEMPTS_BY_DEFAULT } = retry;
  if (calls >= attempts) return undefined;
  // Its handler has ended: it kills nobody.
  const { [SUSPECT]: _, [REDELIVERIES]: __, ...rest } = receivedHeaders;
  const isFree = !saysWaits(retry);
  const delay = delayedRetry === undefined || !isFree
    ? delayAfter(calls, retry, random)
    : Math.min(delayedRetry.min * calls, delayedRetry.max);
  const byBroker = retryDelay !== undefined &&
    (isFree || delay === retryDelay);
  return {
    delay: byBroker ? retryDelay : delay,
    byBroker,
    attempt: calls + 1,
    headers: { ...rest, [ATTEMPTS]: calls + 1 },
  };
}

/** The message that {@linkcode judge} looks at. */
export interface Judged {
  /** As they came, whatever somebody has made of them since. */
  readonly receivedHeaders: FieldTable;
  /** Whether it surely came without a header: asked first, for reading them may be expensive. */
  lacksHeader?(name: string): boolean;
  readonly redelivered: boolean;
  readonly deliveryCount: number | undefined;
  /** Whether its attempts are counted by the broker. */
  readonly countsAttempts: boolean;
  /** Whether the broker counts failures and lost connections alike, in the attempts. */
  readonly countsFailures?: boolean | undefined;
}

/** The step to take with a delivery before its handler is called. */
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

/** The verdict on a delivery that is above suspicion. */
export const CALL: Verdict = { type: "call" };
const CALL_ALONE: Verdict = { type: "call-alone" };

/**
 * Decides about a delivery whose handler may have ended its process the last times. That
 * it was delivered before says little: it may have been fetched beside one that did. So
 * it keeps its attempts, and where they would be used up if it was the one, it is called
 * alone, marked before: only what is delivered after that again has used them up.
 *
 * @param retry The policy.
 * @param judged The delivery.
 * @param begins Whether to begin to count where the broker does not: the message is written again for it.
 * @returns The next step.
 */
export function judge(
  { attempts = ATTEMPTS_BY_DEFAULT }: RetryOptions,
  judged: Judged,
  begins: boolean,
): Verdict {
  const { redelivered } = judged;
  if (!redelivered && judged.lacksHeader?.(SUSPECT)) return CALL;
  const { receivedHeaders: headers } = judged;
  const suspected = countIn(headers[SUSPECT]);
  if (!redelivered) return suspected > 0 ? CALL_ALONE : CALL;
  const { deliveryCount, countsAttempts } = judged;
  const since = Math.max(1, deliveryCount ?? 1);
  const ended = attemptOf(headers) - 1;
  if (countsAttempts) {
    return ended < attempts ? CALL : { type: "give-up", calls: ended };
  }
  if (judged.countsFailures) {
    if (suspected > 0) return { type: "give-up", calls: ended };
    // They may be another's, whose process ended while this one was in hand: alone, it is called once more.
    return ended < attempts ? CALL : {
      type: "mark",
      headers: { ...headers, [ATTEMPTS]: attempts, [SUSPECT]: 1 },
    };
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
  if (!begins && before === undefined) return CALL;
  return { type: "rewrite", headers: { ...rest, [REDELIVERIES]: seen } };
}

function countIn(value: unknown): number {
  const count = Number(value ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/**
 * Reads which attempt a delivery is.
 *
 * @param headers Its headers. A value that others put there counts if it is a count.
 * @returns The attempt, from 1.
 */
export function attemptOf(headers: FieldTable): number {
  const attempt = Number(headers[ATTEMPTS] ?? 1);
  return Number.isSafeInteger(attempt) && attempt > 0 ? attempt : 1;
}

/**
 * Makes the header that tells how often handlers were called for a message.
 *
 * @param attempt How often.
 * @returns The header, alone.
 */
export function attemptHeader(attempt: number): FieldTable {
  return { [ATTEMPTS]: attempt };
}

function delayAfter(
  calls: number,
  retry: RetryOptions,
  random: number,
): number {
  const { backoff: own } = retry;
  if (own === undefined) {
    const delay = backoff(calls - 1, retry, RETRY_DELAYS, random);
    return Math.round(Math.min(delay, MAX_WAIT)); // with no `maxDelay` it may be any
  }
  if (typeof own === "number") return own;
  const delay = own(calls);
  checkDelay("retry.backoff", delay);
  return delay;
}

/**
 * Says why a message is given up that no handler has failed for.
 *
 * @param calls How often it was handed to its handler.
 * @returns The error.
 */
export function neverEnded(calls: number): Error {
  return new Error(
    `A message was delivered ${calls} times without an end: each time its process ended, or it was given back, as by requeue() without a delay; it is given up`,
  );
}
