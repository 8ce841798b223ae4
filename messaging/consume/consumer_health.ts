import type { Breaker } from "./breaker.ts";
import type { Flow } from "./flow.ts";
import type { RecoveringConsumer } from "./recovering_consumer.ts";

/** How a consumer is. */
export interface ConsumerHealth {
  /** Whether it consumes, and the broker was heard of in time. */
  readonly healthy: boolean;
  /** Milliseconds since the broker was last heard of, the longest of its queues; `undefined` while it does not consume. */
  readonly silence: number | undefined;
  /** How many messages are with the user, unsettled. */
  readonly inFlight: number;
  /** Why it gets no more messages, or is not healthy, in words; `undefined` where nothing is wrong. */
  readonly reason: string | undefined;
  /** How many messages the inbox of `run` knew as handled before: they were skipped. */
  readonly duplicates: number;
  /** The last error. */
  readonly lastError: Error | undefined;
}

/** The reason of a consumer that was cancelled, or ended by an error. */
export const ENDED = "it has ended";

/** The state that {@linkcode healthOf} looks at. */
export interface HealthSigns {
  /** The moment, on the clock. */
  readonly now: number;
  /** Whether the consumer has ended. */
  readonly ended: boolean;
  readonly flow: Flow;
  /** The circuit breaker of its run, if it has one. */
  readonly breaker: Breaker | undefined;
  readonly recovering: RecoveringConsumer;
  /** Whether a loop waits for a message: it has handed all that it had to somebody else. */
  readonly loopWaits: boolean;
  readonly duplicates: number;
  readonly lastError: Error | undefined;
}

/** A loop that waits so long for its own acks has forgotten them, ms. */
const FORGOTTEN = 1000;

/**
 * Says how a consumer is.
 *
 * @param signs The state to judge.
 * @returns How it is, with a reason in words.
 */
export function healthOf(
  { now, ended, flow, breaker, recovering, loopWaits, duplicates, lastError }:
    HealthSigns,
): ConsumerHealth {
  const { sources, unsettled: inFlight, fullSince } = recovering;
  const rests = breaker?.reason;
  if ((flow.isPaused || breaker?.isOpen) && !ended) {
    // On purpose, and not to be restarted for it: it would forget why.
    const reason = flow.isPaused ? "it is paused" : rests;
    return {
      healthy: true,
      silence: undefined,
      inFlight,
      reason,
      duplicates,
      lastError,
    };
  }
  let [silence, late]: (number | undefined)[] = [];
  for (const { subscription } of sources) {
    if (subscription === undefined) continue;
    const silent = now - subscription.lastHeard;
    silence = Math.max(silence ?? 0, silent);
    if (silent > 2 * subscription.heardEvery) late = silent;
  }
  const unsettled = fullSince === undefined ? undefined : now - fullSince;
  const wrong = ended
    ? ENDED
    : sources.length === 0
    ? `it does not consume${because(lastError)}`
    : recovering.isPartial
    ? `one of its queues is not consumed from${because(lastError)}`
    : late !== undefined
    ? `the broker was not heard of for ${seconds(late)}`
    : undefined;
  const full = unsettled === undefined || unsettled < FORGOTTEN
    ? undefined
    : `all ${inFlight} messages that it may have are unacked, and none was settled for ${
      seconds(unsettled)
    }`;
  return {
    // Handlers may take their time; a loop that waits for more has nothing left to do.
    healthy: wrong === undefined && !(full !== undefined && loopWaits),
    silence,
    inFlight,
    reason: wrong ?? rests ?? full,
    duplicates,
    lastError,
  };
}

function because(error: Error | undefined): string {
  return error === undefined ? "" : `: ${error.message}`;
}

function seconds(time: number): string {
  return `${Math.round(time / 1000)} s`;
}
