import type { Clock } from "../../async/clock.ts";
import { Heap } from "../../async/heap.ts";
import type { Mark } from "../store/store.ts";

interface Kept {
  readonly key: string;
  readonly token: string;
  /** The moment until which it stays, on the clock. */
  readonly until: number;
}

/** The marks of messages that are published once. Marks that are over are removed when another is left. */
export class Marks {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();
  readonly #ending = new Heap<Kept>((a, b) => a.until < b.until);

  /** Makes an empty set. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many are kept. */
  get size(): number {
    return this.#kept.size;
  }

  /** The token of whoever has left a mark; `undefined` if nobody has. */
  find({ key }: Mark): string | undefined {
    this.#sweep();
    return this.#kept.get(key)?.token;
  }

  /** Leaves a mark that was not found. */
  leave({ key, token, window }: Mark): void {
    const kept = { key, token, until: this.#clock.now() + window };
    this.#kept.set(key, kept);
    this.#ending.add(kept);
  }

  #sweep(): void {
    const now = this.#clock.now();
    for (
      let first = this.#ending.first;
      first !== undefined && first.until <= now;
      first = this.#ending.first
    ) {
      this.#ending.take();
      this.#kept.delete(first.key);
    }
  }
}
