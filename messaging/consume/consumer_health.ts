import { why } from "../connection/loop_watch.ts";
import { asError } from "../../model/error_text.ts";
import type { Breaker } from "./breaker.ts";
import type { Flow } from "./flow.ts";
import type { RecoveringConsumer } from "./recovering_consumer.ts";

/** How a consumer is. */
export interface ConsumerHealth {
  /**
   * Whether nothing is wrong: it consumes, and the broker was heard of in time; or it does
   * not for a good reason, as `pause()` and an open circuit breaker are.
   */
  readonly healthy: boolean;
  /**
   * Whether the event loop of the process runs: while somebody consumes it was not blocked
   * for longer than a heartbeat (10 s where there is none) until less than 2 s ago.
   */
  readonly live: boolean;
  /**
   * Whether messages of all its queues come to it now: it is `live` and `healthy`, has
   * begun, and is neither paused, nor ended, nor held by an open circuit breaker.
   */
  readonly ready: boolean;
  /**
   * When the broker was last heard of by one of its queues, be it a message, an answer or a
   * heartbeat; the present moment while its broker has nothing to say, for all that it may
   * have is at work. It is kept over lost connections; `undefined` before it has consumed.
   */
  readonly lastSuccess: Date | undefined;
  /**
   * How it has ended, if it has: its user cancelled or closed it, or it failed for good, by
   * an error that `reason` has and `run` throws.
   */
  readonly ended: "cancelled" | "failed" | undefined;
  /** Milliseconds since the broker was last heard of, the longest of its queues; `undefined` while it does not consume. */
  readonly silence: number | undefined;
  /** How many messages are with the user, unsettled. */
  readonly inFlight: number;
  /** Why it gets no more messages, or is not healthy, live or ready, in words; `undefined` where nothing is wrong. */
  readonly reason: string | undefined;
  /** How many messages the inbox of `run` knew as handled before: they were skipped. */
  readonly duplicates: number;
  /** The last error. */
  readonly lastError: Error | undefined;
}

/** The state that {@linkcode healthOf} looks at. */
export interface HealthSigns {
  /** The moment, on the clock. */
  readonly now: number;
  /** The same moment by the calendar, ms. */
  readonly wall: number;
  /** How long the event loop was blocked until a moment ago, ms. */
  readonly loopBlocked: number | undefined;
  /** Whether the consumer has ended. */
  readonly hasEnded: boolean;
  /** The error that has ended it; `undefined` if that was its user. */
  readonly failure: unknown;
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
  {
    now,
    wall,
    loopBlocked,
    hasEnded,
    failure,
    flow,
    breaker,
    recovering,
    loopWaits,
    duplicates,
    lastError,
  }: HealthSigns,
): ConsumerHealth {
  const { sources, unsettled: inFlight, fullSince, heardAt } = recovering;
  const rests = breaker?.reason;
  const live = loopBlocked === undefined;
  const stalled = loopBlocked === undefined ? undefined : why(loopBlocked);
  const lastSuccess = heardAt === undefined
    ? undefined
    : new Date(wall - (now - heardAt));
  if ((flow.isPaused || breaker?.isOpen) && !hasEnded) {
    // On purpose, and not to be restarted for it: it would forget why.
    const reason = flow.isPaused ? "it is paused" : rests;
    return {
      healthy: true,
      live,
      ready: false,
      lastSuccess,
      ended: undefined,
      silence: undefined,
      inFlight,
      reason: stalled ?? reason,
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
  const wrong = hasEnded
    ? `it has ended${because(failure)}`
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
  // Handlers may take their time; a loop that waits for more has nothing left to do.
  const healthy = wrong === undefined && !(full !== undefined && loopWaits);
  return {
    healthy,
    live,
    ready: healthy && live,
    lastSuccess,
    ended: hasEnded
      ? failure === undefined ? "cancelled" : "failed"
      : undefined,
    silence,
    inFlight,
    reason: stalled ?? wrong ?? rests ?? full,
    duplicates,
    lastError,
  };
}

function because(error: unknown): string {
  return error === undefined ? "" : `: ${asError(error).message}`;
}

function seconds(time: number): string {
  return `${Math.round(time / 1000)} s`;
}
