/** Spreads what begins over time: so many a second. */
export class Pacer {
  readonly #rate: number;
  #next = 0;

  /** Makes one; `Infinity` is as fast as it goes. */
  constructor(rate: number) {
    this.#rate = rate;
  }

  /** How many are worth taking at once: what begins within a second. */
  get atOnce(): number {
    return Math.max(1, Math.ceil(this.#rate));
  }

  /**
   * Waits for a turn.
   *
   * @param signal Ends the wait.
   * @returns Whether it has come, or the wait was ended; `undefined` if it is now.
   */
  turn(signal: AbortSignal): Promise<boolean> | undefined {
    if (this.#rate === Infinity) return undefined;
    const now = performance.now();
    const at = Math.max(now, this.#next);
    this.#next = at + 1000 / this.#rate;
    return at - now < 1 ? undefined : pause(at - now, signal);
  }
}

/**
 * Waits.
 *
 * @param milliseconds How long.
 * @param signal Ends the wait.
 * @returns Whether it was not ended.
 */
export async function pause(
  milliseconds: number,
  signal: AbortSignal,
): Promise<boolean> {
  if (signal.aborted) return false;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const onAbort = () => resolve();
  signal.addEventListener("abort", onAbort);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", onAbort);
  return !signal.aborted;
}
