import { type Place, Waiters } from "./waiters.ts";

/** A step in a line. */
export interface Turn<T> extends Place {
  /** Resolves to the step's result; if the step was left before it began, it never settles. */
  readonly taken: Promise<T>;
}

/** Keeps steps that must wait in the order in which they were asked for. */
export class Line {
  readonly #waiting = new Waiters<() => Promise<void>>();
  #running = false;

  /** Whether somebody stands in it. */
  get busy(): boolean {
    return this.#running;
  }

  /**
   * Takes a step when those before it have ended, well or not. Its caller's first `then` on
   * the result runs before the next step begins.
   *
   * @typeParam T The type of the step's result.
   * @param step The step.
   * @returns The step's result.
   */
  enter<T>(step: () => Promise<T>): Promise<T> {
    return this.stand(step).taken;
  }

  /**
   * Enters the line so that it can be left again: what the step holds is let go then.
   *
   * @typeParam T The type of the step's result.
   * @param step The step.
   * @returns Its result, and the way to leave.
   */
  stand<T>(step: () => Promise<T>): Turn<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const place = this.#waiting.add(async () => {
      try {
        resolve(await step());
      } catch (error) {
        reject(error);
      }
    });
    if (!this.#running) {
      this.#running = true;
      this.#run();
    }
    return { taken: promise, leave: () => place.leave() };
  }

  /** Never rejects: neither do the steps. */
  async #run(): Promise<void> {
    await undefined;
    for (
      let next = this.#waiting.shift();
      next !== undefined;
      next = this.#waiting.shift()
    ) {
      await next();
      await undefined; // the caller's `then`
    }
    this.#running = false;
  }
}
