import type { Clock } from "../../async/clock.ts";

/** Time that passes when it is told to. */
export class TestClock implements Clock {
  #now = 0;
  readonly #timers = new Set<
    { readonly at: number; readonly callback: () => void }
  >();

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Milliseconds since it was made. */
  now(): number {
    return this.#now;
  }

  /** The same. */
  wall(): number {
    return this.#now;
  }

  /** Calls back when its time has come. */
  timer(callback: () => void, delay: number): () => void {
    const timer = { at: this.#now + delay, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass: what is due calls back, in order. */
  pass(duration: number): void {
    const end = this.#now + duration;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) =>
        at <= end
      ).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) {
        break;
      }
      this.#now = due.at;
      this.#timers.delete(due);
      due.callback();
    }
    this.#now = end;
  }
}
