import type { Clock } from "./clock.ts";

/** A deadline that is being watched. */
export interface Deadline {
  /** Stops watching. Calling it later or twice does nothing. */
  cancel(): void;
}

/** How often an armed timer looks, at the latest: so a list that ran empty holds the process up no longer than this. */
const TICK = 1000;

/**
 * Watches many deadlines with one timer: a timer for each call costs more than
 * the call.
 *
 * Deadlines are kept in order. New ones mostly come last, or first, where adding costs
 * a few field writes and no look at the clock.
 */
export class Deadlines {
  readonly #clock: Clock;
  #first: Entry | undefined;
  #last: Entry | undefined;
  #stopTimer: (() => void) | undefined;
  #timerAt = Infinity;

  /** Makes an empty list that is timed by `clock`. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Watches one deadline.
   *
   * @param at The moment, on the clock.
   * @param onMissed Called once, when the moment has come and the deadline was not cancelled. Must not throw.
   * @returns The way to stop watching.
   */
  add(at: number, onMissed: () => void): Deadline {
    const before = this.#placeBehind(at);
    const entry = new Entry(at, onMissed, this.#unlink);
    entry.previous = before;
    entry.next = before === undefined ? this.#first : before.next;
    if (entry.next === undefined) this.#last = entry;
    else entry.next.previous = entry;
    if (before === undefined) this.#first = entry;
    else before.next = entry;
    if (at < this.#timerAt) this.#arm(at);
    return entry;
  }

  /** Forgets all deadlines and stops the timer. */
  clear(): void {
    while (this.#first !== undefined) this.#first.cancel();
    this.#disarm();
  }

  /**
   * The last entry that is not later. Looked for from both ends: a call that waited long
   * and takes its next step has the oldest deadline of all.
   */
  #placeBehind(at: number): Entry | undefined {
    let last = this.#last;
    let first = this.#first;
    while (last !== undefined && last.at > at) {
      if (first === undefined || first.at > at) return first?.previous;
      last = last.previous;
      first = first.next;
    }
    return last;
  }

  readonly #unlink = (entry: Entry): void => {
    if (entry.previous === undefined) this.#first = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === undefined) this.#last = entry.previous;
    else entry.next.previous = entry.previous;
    // Who still holds one that is over must not hold all that came after it.
    entry.previous = entry.next = undefined;
  };

  readonly #look = (): void => {
    this.#disarm();
    const now = this.#clock.now();
    for (let entry = this.#first; entry !== undefined; entry = this.#first) {
      if (entry.at > now) break;
      const { onMissed } = entry;
      entry.cancel();
      onMissed();
    }
    if (this.#first !== undefined && this.#stopTimer === undefined) {
      this.#arm(this.#first.at);
    }
  };

  #arm(at: number): void {
    const now = this.#clock.now();
    const next = Math.min(at, now + TICK);
    // The timer that is set already looks soon enough, and arms the next.
    if (this.#stopTimer !== undefined && this.#timerAt <= next) return;
    this.#disarm();
    this.#timerAt = next;
    // Rounded up: a timer that fires early would look in vain and spin.
    this.#stopTimer = this.#clock.timer(this.#look, Math.ceil(next - now));
  }

  #disarm(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#timerAt = Infinity;
  }
}

class Entry implements Deadline {
  readonly at: number;
  onMissed: () => void;
  readonly #unlink: (entry: Entry) => void;
  previous: Entry | undefined;
  next: Entry | undefined;
  watched = true;

  constructor(
    at: number,
    onMissed: () => void,
    unlink: (entry: Entry) => void,
  ) {
    this.at = at;
    this.onMissed = onMissed;
    this.#unlink = unlink;
  }

  cancel(): void {
    if (!this.watched) return;
    this.watched = false;
    this.onMissed = nothing;
    this.#unlink(this);
  }
}

function nothing(): void {}
