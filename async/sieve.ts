/** So many are tried at once: what one spoils is tried again, and may have been done already. */
const MAX = 64;

/**
 * Finds out which of many spoil it for the others: they are tried together, and what
 * is left of an attempt in halves, so that few culprits among many cost a few attempts
 * each, and the others few more than one.
 *
 * @typeParam T The type of the items.
 */
export class Sieve<T> {
  readonly #attempt: (items: readonly T[]) => Promise<readonly T[]>;
  readonly #onEmpty: () => Promise<void>;
  #waiting: T[] = [];
  #running = false;

  /**
   * Makes an empty one.
   *
   * @param attempt Tries some together, and returns those that have to be tried again, for another may have spoiled it. Of one alone it returns none. Never rejects.
   * @param onEmpty Called when nothing is left to try. Never rejects.
   */
  constructor(
    attempt: (items: readonly T[]) => Promise<readonly T[]>,
    onEmpty: () => Promise<void>,
  ) {
    this.#attempt = attempt;
    this.#onEmpty = onEmpty;
  }

  /** Tries one more, behind those that wait. */
  add(item: T): void {
    this.#waiting.push(item);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      // A turn of the microtasks later: what fails together is tried together.
      await undefined;
      await this.#sift(this.#waiting.splice(0, MAX));
      if (this.#waiting.length === 0) await this.#onEmpty();
    }
    this.#running = false;
  }

  async #sift(items: readonly T[]): Promise<void> {
    const left = await this.#attempt(items);
    if (left.length === 0 || items.length === 1) return;
    const half = Math.ceil(left.length / 2);
    await this.#sift(left.slice(0, half));
    if (left.length > half) await this.#sift(left.slice(half));
  }
}
