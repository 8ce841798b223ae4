import { Ring } from "./ring.ts";

/** So many at most in any interval. */
export interface Rate {
  /** The most that may begin in any `interval`. */
  readonly limit: number;
  /** Milliseconds. */
  readonly interval: number;
}

/** After so many the groups that are not in use are forgotten. */
const SWEEP_EVERY = 1000;

/** When the last of a group began, and for how long that matters. */
interface Group {
  readonly begun: Ring<number>;
  interval: number;
}

/**
 * Counts what begins, in groups, and in windows that slide: in none of the length
 * `interval`, wherever it begins, are there more than `limit`.
 */
export class Windows {
  readonly #groups = new Map<string, Group>();
  #count = 0;

  /** How many groups are remembered. */
  get size(): number {
    return this.#groups.size;
  }

  /** Milliseconds until one more of a group may begin: 0 if it may now. */
  delay(key: string, { limit, interval }: Rate, now: number): number {
    const group = this.#groups.get(key);
    if (group === undefined) return 0;
    const { begun } = group;
    forget(begun, now - interval);
    const first = begun.at(begun.size - limit);
    return first === undefined ? 0 : Math.max(0, first + interval - now);
  }

  /** One of a group begins now. */
  note(key: string, { interval }: Rate, now: number): void {
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { begun: new Ring(), interval };
      this.#groups.set(key, group);
    }
    group.interval = interval;
    forget(group.begun, now - interval);
    group.begun.push(now);
    if (++this.#count % SWEEP_EVERY === 0) this.#sweep(now);
  }

  #sweep(now: number): void {
    for (const [key, { begun, interval }] of this.#groups) {
      forget(begun, now - interval);
      if (begun.size === 0) this.#groups.delete(key);
    }
  }
}

function forget(begun: Ring<number>, before: number): void {
  for (;;) {
    const first = begun.at(0);
    if (first === undefined || first > before) return;
    begun.shift();
  }
}
