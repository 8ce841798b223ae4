import { backoff } from "../../async/backoff.ts";
import { cannotImport } from "../../model/dependency.ts";
import { RETRY_DELAYS } from "../connection/backoff_options.ts";
import type { Missed, Timing, When } from "./when.ts";

/** How late a tick may be and still count as on time, ms: as long as it takes until the schedules of a process that was killed are another's. */
export const LATE = 300_000;

/** The longest time from tick to tick, ms. */
export const MAX_EVERY: number = 366 * 24 * 3600 * 1000;

/** Says whether a value is a time from tick to tick. */
export function isEvery(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1000 &&
    Number(value) <= MAX_EVERY;
}

/** The maximum number of missed ticks that are made up for. */
export const MAX_MISSED = 1000;

/**
 * Says how long after a failure it is tried again: as long as between the calls of a handler,
 * and nothing of it by chance.
 *
 * @param failures How many attempts failed in a row before this one, from 0.
 * @returns Milliseconds.
 */
export function retryDelay(failures: number): number {
  return backoff(failures, {}, RETRY_DELAYS, 1);
}

/**
 * Reads when a schedule ticks.
 *
 * @param when As it was given.
 * @returns Its ticks.
 * @throws {OptionError} If that is no time.
 */
export async function timingOf(when: When): Promise<Timing> {
  if (when.every !== undefined) return everyTiming(when.every);
  const { cronTiming } = await import("./cron_client.ts").catch(
    (cause: unknown) => {
      throw cannotImport("read a cron expression", ["croner"], cause);
    },
  );
  return cronTiming(when.cron, when.timezone ?? "UTC");
}

/** Counted from 1970, so that every process has the same ticks. */
function everyTiming(every: number): Timing {
  return {
    after: (moment) => (Math.floor(moment / every) + 1) * every,
    before(moment, most) {
      const last = Math.floor(moment / every) * every;
      return Array.from(
        { length: most },
        (_, index) => last - (most - 1 - index) * every,
      );
    },
  };
}

/**
 * Finds the ticks that are to be published.
 *
 * @param timing The ticks of the schedule.
 * @param last The moment up to which all is done.
 * @param now The present moment.
 * @param missed The fate of those that are later than {@linkcode LATE}.
 * @returns The ticks, in order.
 */
export function dueTicks(
  timing: Timing,
  last: number,
  now: number,
  missed: Missed,
): readonly number[] {
  const first = timing.after(last);
  if (first === undefined || first > now) return [];
  const inTime = Math.max(last, now - LATE);
  const due = ticksIn(timing, inTime, now, MAX_MISSED);
  const most = missed === "skip" ? 0 : missed === "one" ? 1 : MAX_MISSED;
  return [...ticksIn(timing, last, inTime, most), ...due];
}

/** The last ticks after a moment, up to another. */
function ticksIn(
  timing: Timing,
  after: number,
  upTo: number,
  most: number,
): readonly number[] {
  if (upTo <= after) return [];
  // Few are asked for first: to find one costs half a millisecond.
  for (let count = Math.min(4, most); count > 0; count *= 4) {
    const asked = Math.min(count, most);
    const ticks = timing.before(upTo, asked);
    const found = ticks.filter((tick) => tick > after);
    if (found.length < asked || asked === most) return found;
  }
  return [];
}
