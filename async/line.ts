/** Keeps steps that must wait in the order in which they were asked for. */
export class Line {
  #tail: Promise<void> | undefined;

  /** Whether somebody stands in it. */
  get busy(): boolean {
    return this.#tail !== undefined;
  }

  /**
   * Takes a step when those before it have ended, well or not. What its caller does
   * with the result in the first `then` comes before the next step begins.
   *
   * @typeParam T What the step resolves to.
   * @param step The step.
   * @returns What it resolves to.
   */
  enter<T>(step: () => Promise<T>): Promise<T> {
    const mine = (this.#tail ?? Promise.resolve()).then(step);
    const tail: Promise<void> = mine.then(() => {}, () => {}).then(() => {
      if (this.#tail === tail) this.#tail = undefined;
    });
    this.#tail = tail;
    return mine;
  }
}
