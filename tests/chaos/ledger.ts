/** Counts what became of the messages of a run. */

import { pause } from "./faults.ts";

/** What became of the messages. */
export interface Tally {
  readonly published: number;
  readonly confirmed: number;
  /** Different ones. */
  readonly delivered: number;
  readonly duplicated: number;
  /** Confirmed, and never delivered: must be none. */
  readonly lost: number;
  readonly faults: number;
  /** The longest that no new one came, seconds. */
  readonly gap: number;
  readonly seconds: number;
}

/** Milliseconds without any new delivery after which what is missing counts as lost. */
const SILENCE = 60_000;

/** Counts what is confirmed and what is delivered, and says when. */
export class Ledger {
  readonly confirmed: Set<number> = new Set<number>();
  readonly delivered: Set<number> = new Set<number>();
  published = 0;
  faults = 0;
  #deliveries = 0;
  #lastNew = performance.now();
  #gap = 0;
  readonly #began = performance.now();

  /** Notes a delivery. One that came before is no sign that the others still come. */
  deliver(id: number): void {
    this.#deliveries++;
    if (this.delivered.has(id)) return;
    this.delivered.add(id);
    const now = performance.now();
    this.#gap = Math.max(this.#gap, now - this.#lastNew);
    this.#lastNew = now;
  }

  /** From now on deliveries are waited for. */
  expect(): void {
    this.#lastNew = performance.now();
  }

  get missing(): number {
    let missing = 0;
    for (const id of this.confirmed) if (!this.delivered.has(id)) missing++;
    return missing;
  }

  /** Waits until all is there, or nothing comes any more. */
  async settle(): Promise<void> {
    const began = performance.now();
    while (this.missing > 0) {
      const since = Math.max(began, this.#lastNew);
      if (performance.now() - since > SILENCE) return;
      await pause(10);
    }
  }

  tally(): Tally {
    return {
      published: this.published,
      confirmed: this.confirmed.size,
      delivered: this.delivered.size,
      duplicated: this.#deliveries - this.delivered.size,
      lost: this.missing,
      faults: this.faults,
      gap: this.#gap / 1000,
      seconds: (performance.now() - this.#began) / 1000,
    };
  }
}
