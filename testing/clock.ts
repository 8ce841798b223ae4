import { type Clock, SYSTEM_CLOCK } from "../async/clock.ts";
import { turn } from "../async/turn.ts";
import { OptionError, TimeoutError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import {
  checkKnown,
  type KnownOptions,
  optionsOf,
} from "../messaging/known_options.ts";
import { checkDelay } from "../messaging/operation_options.ts";

/** Options of {@linkcode TestClock}. */
export interface TestClockOptions {
  /** The date that it begins at. @default {1970} */
  readonly date?: Date | undefined;
  /**
   * Lets what is under way happen, before time goes on: called by `advance` between two
   * moments. @default {a few turns of the event loop}
   */
  readonly settle?: ((options: AdvanceOptions) => Promise<void>) | undefined;
}

/** Options of {@linkcode TestClock.advance}. */
export interface AdvanceOptions {
  /**
   * Whether time stands still while a handler is at work: `false` for handlers that
   * themselves wait for the clock, by other means than its `sleep`. @default {true}
   */
  readonly handlers?: boolean | undefined;
}

const CLOCK: KnownOptions = optionsOf<TestClockOptions>("TestClock", {
  date: "object",
  settle: "function",
});
const ADVANCE: KnownOptions = optionsOf<AdvanceOptions>("advance", {
  handlers: "boolean",
}, { timeout: "none: it ends when the time has passed" });

/** So many turns of the event loop without news are silence. */
const TURNS = 5;

/** How long `advanceUntil` waits, in real time, where no timer is set, ms. */
const PATIENCE = 5000;

/** A timer that is set. */
interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/**
 * Time that passes when it is told to: delays, leases, timeouts and schedules of a
 * connection that goes by it follow.
 *
 * @example A minute in no time
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { TestClock } from "@dashi/mq/testing";
 *
 * const clock = new TestClock({ date: new Date("2026-11-29T12:00:00Z") });
 * let isOver = false;
 * clock.timer(() => isOver = true, 60_000);
 * await clock.advance(60_000);
 * assertEquals(isOver, true);
 * assertEquals(new Date(clock.wall()).toISOString(), "2026-11-29T12:01:00.000Z");
 * ```
 */
export class TestClock implements Clock {
  #now = 0;
  readonly #began: number;
  readonly #settle: (options: AdvanceOptions) => Promise<void>;
  /** In the order in which they were set. */
  readonly #timers = new Set<Timer>();
  /** The last call of `advance`: the next one waits for it. */
  #advancing: Promise<unknown> = Promise.resolve();
  #sleepers = 0;

  /** Makes one that stands still. */
  constructor(options: TestClockOptions = {}) {
    checkKnown(options, CLOCK);
    const { date = new Date(0), settle = quiet } = options;
    if (!(date instanceof Date) || Number.isNaN(date.getTime())) {
      throw new OptionError(
        `Cannot use ${quote(date)} as "date": it must be a valid Date`,
      );
    }
    this.#began = date.getTime();
    this.#settle = settle;
  }

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** How many calls of `sleep` wait. */
  get sleepers(): number {
    return this.#sleepers;
  }

  /** Milliseconds until the next timer; `undefined` if time brings nothing. */
  get next(): number | undefined {
    const next = this.#due(Number.MAX_VALUE);
    return next === undefined ? undefined : next.at - this.#now;
  }

  /** Milliseconds since it was made. */
  now(): number {
    return this.#now;
  }

  /** Milliseconds since 1970: the date that it began at, and what has passed since. */
  wall(): number {
    return this.#began + this.#now;
  }

  /** Calls back when its time has come. */
  timer(callback: () => void, delay: number): () => void {
    const timer = { at: this.#now + Math.max(0, delay), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Waits so many ms, of this clock: for handlers that wait on purpose. */
  async sleep(duration: number): Promise<void> {
    checkDelay("duration", duration);
    this.#sleepers++;
    await new Promise<void>((resolve) => this.timer(resolve, duration));
    this.#sleepers--;
  }

  /**
   * Lets time pass at once, and nothing else happen meanwhile: what is due is called back,
   * in order. For code that is called back and returns.
   *
   * @param duration Milliseconds.
   * @throws {RangeError} If it is not a number of 0 or more.
   */
  pass(duration: number): void {
    checkDelay("duration", duration);
    const end = this.#now + duration;
    for (;;) {
      const due = this.#due(end);
      if (due === undefined) break;
      this.#call(due);
    }
    this.#now = end;
  }

  /**
   * Lets time pass, and all that it brings happen: before it begins, and after each moment at
   * which something is due, what is under way comes to its end. A retry that waits for
   * minutes is tried, fails, and is tried again, all within one call.
   *
   * @param duration Milliseconds; with 0 only what is under way happens.
   * @param options Whether to wait for handlers.
   * @throws {RangeError} If `duration` is not a number of 0 or more.
   * @throws {TimeoutError} If a handler does not end.
   */
  advance(duration: number, options: AdvanceOptions = {}): Promise<void> {
    checkDelay("duration", duration);
    checkKnown(options, ADVANCE);
    return this.#inTurn(async () => {
      await this.#settle(options);
      const end = this.#now + duration;
      for (;;) {
        const due = this.#due(end);
        if (due === undefined) break;
        this.#call(due);
        await this.#settle(options);
      }
      this.#now = end;
    });
  }

  /**
   * Lets as much time pass as something needs that waits for it, as `connection.schedule()`
   * does.
   *
   * @param awaited The promise to wait for.
   * @param options Whether to wait for handlers.
   * @returns Its value.
   * @throws Its error.
   * @throws {TimeoutError} If no timer is set, and it has not settled 5 s later; or if a handler does not end.
   */
  async advanceUntil<T>(
    awaited: Promise<T>,
    options: AdvanceOptions = {},
  ): Promise<T> {
    checkKnown(options, ADVANCE);
    let isSettled = false;
    const settled = () => {
      isSettled = true;
    };
    awaited.then(settled, settled);
    await this.#inTurn(async () => {
      let until = SYSTEM_CLOCK.now() + PATIENCE;
      for (;;) {
        await this.#settle(options);
        if (isSettled) return;
        const due = this.#due(Number.MAX_VALUE);
        if (due !== undefined) {
          this.#call(due);
          until = SYSTEM_CLOCK.now() + PATIENCE;
        } else if (SYSTEM_CLOCK.now() > until) {
          throw new TimeoutError(
            "Cannot wait any longer: no timer is set on the clock, and what is awaited has not settled",
          );
        } else await realTime(1);
      }
    });
    return await awaited;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const worked = this.#advancing.then(work);
    this.#advancing = worked.catch(() => {});
    return worked;
  }

  /** The first timer up to a moment; of several at once the one that was set first. */
  #due(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= end && (first === undefined || timer.at < first.at)) {
        first = timer;
      }
    }
    return first;
  }

  #call(timer: Timer): void {
    this.#now = Math.max(this.#now, timer.at);
    this.#timers.delete(timer);
    timer.callback();
  }
}

/**
 * Waits until the event loop has turned a few times.
 *
 * @returns Resolves then.
 */
export async function quiet(): Promise<void> {
  for (let turns = 0; turns < TURNS; turns++) await turn();
}

/**
 * Waits in real time.
 *
 * @param duration Milliseconds.
 * @returns Resolves then.
 */
export function realTime(duration: number): Promise<void> {
  return new Promise((resolve) => SYSTEM_CLOCK.timer(resolve, duration));
}
