import type { Clock } from "./clock.ts";
import { Heap } from "./heap.ts";

interface Entry<V> {
  readonly key: string;
  readonly value: V;
  /** The moment until which it stays, on the clock. */
  readonly until: number;
}

/** A map whose entries go by themselves when their time is over: they are removed when one is looked for. */
export class ExpiringMap<V> {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry<V>>();
  readonly #ending = new Heap<Entry<V>>((a, b) => a.until < b.until);

  /** Makes an empty one that is timed by `clock`. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many entries are kept, those among them that are over since the last look. */
  get size(): number {
    return this.#entries.size;
  }

  /** Returns what is kept under a key. */
  get(key: string): V | undefined {
    this.#sweep();
    return this.#entries.get(key)?.value;
  }

  /** Keeps a value under a key for so long, ms. */
  set(key: string, value: V, lifetime: number): void {
    const entry = { key, value, until: this.#clock.now() + lifetime };
    this.#entries.set(key, entry);
    this.#ending.add(entry);
  }

  #sweep(): void {
    const now = this.#clock.now();
    for (
      let first = this.#ending.first;
      first !== undefined && first.until <= now;
      first = this.#ending.first
    ) {
      this.#ending.take();
      // Another value may stand there since.
      if (this.#entries.get(first.key) === first) {
        this.#entries.delete(first.key);
      }
    }
  }
}
