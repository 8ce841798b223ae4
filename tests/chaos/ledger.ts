/** Counts what became of the messages of a run. */

import { pause } from "./faults.ts";

/**
 * The outcomes of the messages, in the words of Jepsen's checker of queues. None but
 * `duplicated` and `recovered` may be found in a run that keeps what is promised.
 */
export interface Tally {
  /** Tried to be published. */
  readonly published: number;
  readonly confirmed: number;
  /** Different ones, of those that were published. */
  readonly delivered: number;
  /** Came again. */
  readonly duplicated: number;
  /** Confirmed, and never delivered: must be none. */
  readonly lost: number;
  /** Delivered, and never published: must be none. */
  readonly unexpected: number;
  /** Not confirmed, and delivered all the same. */
  readonly recovered: number;
  readonly faults: number;
  /** The longest that no new one came, seconds. */
  readonly gap: number;
  readonly seconds: number;
}

/** The counts that are summed up. */
export const COUNTS: readonly Exclude<keyof Tally, "gap" | "seconds">[] = [
  "published",
  "confirmed",
  "delivered",
  "duplicated",
  "recovered",
  "unexpected",
  "lost",
  "faults",
];

/** Milliseconds without any new delivery after which what is missing counts as lost. */
const SILENCE = 60_000;

/** Notes what is published, confirmed and delivered, and says when. */
export class Ledger {
  readonly #sent = new Set<number>();
  readonly #confirmed = new Set<number>();
  readonly #delivered = new Set<number>();
  /** Messages that nobody has sent, whatever they are. */
  readonly #strangers = new Set<unknown>();
  faults = 0;
  #again = 0;
  #lastNew = performance.now();
  #gap = 0;
  readonly #began = performance.now();

  /** Notes that one is about to be published. */
  send(id: number): void {
    this.#sent.add(id);
  }

  /** Notes that the broker has accepted one. */
  confirm(id: number): void {
    this.#confirmed.add(id);
  }

  /** Notes a delivery. One that came before is no sign that the others still come. */
  deliver(id: unknown): void {
    if (typeof id !== "number" || !this.#sent.has(id)) {
      this.#strangers.add(id);
      return;
    }
    if (this.#delivered.has(id)) {
      this.#again++;
      return;
    }
    this.#delivered.add(id);
    const now = performance.now();
    this.#gap = Math.max(this.#gap, now - this.#lastNew);
    this.#lastNew = now;
  }

  /** From now on deliveries are waited for. */
  expect(): void {
    this.#lastNew = performance.now();
  }

  /** How many were confirmed. */
  get confirmed(): number {
    return this.#confirmed.size;
  }

  /** How many different ones were delivered. */
  get delivered(): number {
    return this.#delivered.size;
  }

  /** How many were confirmed, and not yet delivered. */
  get missing(): number {
    return this.#confirmed.difference(this.#delivered).size;
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

  /** Counts. */
  tally(): Tally {
    return {
      published: this.#sent.size,
      confirmed: this.#confirmed.size,
      delivered: this.#delivered.size,
      duplicated: this.#again,
      lost: this.missing,
      unexpected: this.#strangers.size,
      recovered: this.#delivered.difference(this.#confirmed).size,
      faults: this.faults,
      gap: this.#gap / 1000,
      seconds: (performance.now() - this.#began) / 1000,
    };
  }
}

/** Notes a tally for the closing table of whoever runs the tests, in whichever process. */
export function noted(
  tally: Tally,
  path: string | undefined = Deno.env.get("DASHI_TEST_TALLIES"),
): Tally {
  if (path !== undefined) {
    const line = `${JSON.stringify(tally)}\n`;
    Deno.writeTextFileSync(path, line, { append: true });
  }
  return tally;
}
