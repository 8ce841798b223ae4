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
   * @returns When it has come; `undefined` if it is now.
   */
  turn(): Promise<void> | undefined {
    if (this.#rate === Infinity) return undefined;
    const now = performance.now();
    const at = Math.max(now, this.#next);
    this.#next = at + 1000 / this.#rate;
    return at - now < 1
      ? undefined
      : new Promise((resolve) => setTimeout(resolve, at - now));
  }
}
