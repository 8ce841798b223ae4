/** Time, as an argument: the real one, or a test's. */
export interface Clock {
  /** Milliseconds on a clock that never goes back: `performance.now()`. */
  now(): number;
  /** Milliseconds since 1970 by the calendar: `Date.now()`. */
  wall(): number;
  /**
   * Calls back once after `delay` ms, and keeps the process alive until then.
   *
   * @returns A function that calls it off; calling it later or twice does nothing.
   */
  timer(callback: () => void, delay: number): () => void;
}

/** The machine's own clock. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  timer(callback: () => void, delay: number): () => void {
    // Beyond 2^31 - 1 ms the platform's timers fire at once.
    const id = setTimeout(
      callback,
      Math.min(Math.max(delay, 0), 2_147_483_647),
    );
    return () => clearTimeout(id);
  },
};
