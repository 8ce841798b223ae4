import type { Clock } from "../../async/clock.ts";

/** So long a message that failed keeps the place of its handler while it is settled, ms. */
const SLOW = 1000;

/**
 * The place of a handler that has failed, among those that run at once. A broker that is
 * short of memory may read what becomes of the message much later: the place goes to
 * another message then, and what waits for the broker is bounded by the prefetch.
 */
export class Slot {
  readonly #stop: () => void;
  #isGone = false;

  /** Makes one that calls `free` once, unless it is kept, or the message is settled in time. */
  constructor(clock: Clock, free: () => void) {
    this.#stop = clock.timer(() => {
      this.#isGone = true;
      free();
    }, SLOW);
  }

  /** Whether another message has it. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /**
   * Keeps it, as its handler is to be called again, or is through.
   *
   * @returns Whether it was not gone.
   */
  keep(): boolean {
    this.#stop();
    return !this.#isGone;
  }
}
