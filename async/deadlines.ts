import type { Clock } from "./clock.ts";

/** A deadline that is being watched. */
export interface Deadline {
  /** Stops watching. Calling it later or twice does nothing. */
  cancel(): void;
}

/** How often an armed timer looks, at the latest: so a list that ran empty holds the process up no longer than this. */
const TICK = 1000;

/** A timer that fires so much late has waited for a busy process, ms. */
const LATE = 100;

/** How long data that has come meanwhile may wait to be read then, ms. */
const GRACE = 20;

/** Deadlines of so many ms share a bucket. */
const GRAIN = 16;

/**
 * Watches many deadlines with one timer: a timer for each call costs more than
 * the call.
 *
 * Deadlines lie in buckets of a few ms, and those in order. Most new ones are of the last
 * bucket, where adding costs a few field writes and no look at the clock; a call that
 * waited and takes its next step finds the bucket of its old deadline among few.
 */
export class Deadlines {
  readonly #clock: Clock;
  /** In order. Empty buckets are removed now and then. */
  #buckets: Bucket[] = [];
  #empty = 0;
  #stopTimer: (() => void) | undefined;
  #timerAt = Infinity;
  #isStopped = false;
  /** Whether it has waited for what came while the process was busy. */
  #hasWaited = false;

  /** Makes an empty list that is timed by `clock`. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Watches one deadline.
   *
   * @param at The moment, on the clock.
   * @param onMissed Called once, when the moment has come and the deadline was not cancelled, or when {@linkcode Deadlines.end} says so. Must not throw.
   * @param hearsEnd Whether it is called by that, too.
   * @returns The way to stop watching.
   */
  add(at: number, onMissed: () => void, hearsEnd = false): Deadline {
    const number = Math.floor(at / GRAIN);
    const last = this.#buckets.at(-1);
    const bucket = last?.number === number ? last : this.#bucketOf(number);
    if (bucket.first === undefined) this.#empty--;
    const entry = new Entry(at, onMissed, hearsEnd, bucket);
    entry.previous = bucket.last;
    if (bucket.last === undefined) bucket.first = entry;
    else bucket.last.next = entry;
    bucket.last = entry;
    if (at < this.#timerAt) this.#arm(at);
    return entry;
  }

  /** Whether none is watched. */
  get empty(): boolean {
    return this.#buckets.every(({ first }) => first === undefined);
  }

  /** Stops the timer, for good: no moment comes any more. */
  stop(): void {
    this.#isStopped = true;
    this.#disarm();
  }

  /** Forgets all deadlines, and calls back for those that hear of the end, in no order. */
  end(): void {
    for (const bucket of [...this.#buckets]) {
      while (bucket.first !== undefined) {
        const { onMissed, hearsEnd } = bucket.first;
        bucket.first.cancel();
        if (hearsEnd) onMissed();
      }
    }
    this.#disarm();
  }

  /** The bucket of a number; a new one counts as empty. */
  #bucketOf(number: number): Bucket {
    let low = 0;
    let high = this.#buckets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#buckets[middle]?.number ?? Infinity) < number) {
        low = middle + 1;
      } else high = middle;
    }
    const found = this.#buckets[low];
    if (found?.number === number) return found;
    const bucket = new Bucket(number, this.#onEmpty);
    this.#empty++;
    this.#buckets.splice(low, 0, bucket);
    return bucket;
  }

  readonly #onEmpty = (): void => {
    if (++this.#empty <= this.#buckets.length / 2 + 8) return;
    this.#buckets = this.#buckets.filter(({ first }) => first !== undefined);
    this.#empty = 0;
  };

  readonly #look = (): void => {
    const now = this.#clock.now();
    const isLate = now - this.#timerAt > LATE;
    this.#disarm();
    // Answers may lie in the sockets that nobody has read yet.
    if (isLate && !this.#hasWaited) {
      this.#hasWaited = true;
      this.#timerAt = now + GRACE;
      this.#stopTimer = this.#clock.timer(this.#look, GRACE);
      return;
    }
    this.#hasWaited = false;
    const due: Entry[] = [];
    for (const { number, first } of this.#buckets) {
      if (number * GRAIN > now) break;
      for (let entry = first; entry !== undefined; entry = entry.next) {
        if (entry.at <= now) due.push(entry);
      }
    }
    due.sort((a, b) => a.at - b.at);
    for (const entry of due) {
      if (!entry.watched) continue; // one before it called it off
      const { onMissed } = entry;
      entry.cancel();
      onMissed();
    }
    const next = this.#next();
    if (next !== undefined) this.#arm(next);
  };

  /** The first moment that is watched. */
  #next(): number | undefined {
    const bucket = this.#buckets.find(({ first }) => first !== undefined);
    let next: number | undefined;
    for (let entry = bucket?.first; entry !== undefined; entry = entry.next) {
      if (next === undefined || entry.at < next) next = entry.at;
    }
    return next;
  }

  #arm(at: number): void {
    if (this.#isStopped) return;
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

/** The deadlines of a few ms, in the order in which they were added. */
class Bucket {
  readonly number: number;
  readonly onEmpty: () => void;
  first: Entry | undefined;
  last: Entry | undefined;

  constructor(number: number, onEmpty: () => void) {
    this.number = number;
    this.onEmpty = onEmpty;
  }
}

class Entry implements Deadline {
  readonly at: number;
  onMissed: () => void;
  readonly hearsEnd: boolean;
  readonly #bucket: Bucket;
  previous: Entry | undefined;
  next: Entry | undefined;
  watched = true;

  constructor(
    at: number,
    onMissed: () => void,
    hearsEnd: boolean,
    bucket: Bucket,
  ) {
    this.at = at;
    this.onMissed = onMissed;
    this.hearsEnd = hearsEnd;
    this.#bucket = bucket;
  }

  cancel(): void {
    if (!this.watched) return;
    this.watched = false;
    this.onMissed = nothing;
    const bucket = this.#bucket;
    if (this.previous === undefined) bucket.first = this.next;
    else this.previous.next = this.next;
    if (this.next === undefined) bucket.last = this.previous;
    else this.next.previous = this.previous;
    // A reference to an entry that is over must not keep all later entries alive.
    this.previous = this.next = undefined;
    if (bucket.first === undefined) bucket.onEmpty();
  }
}

function nothing(): void {}
