import type { Row } from "../sql/port.ts";

/** From so many messages on that were taken one after another, it is worth while. */
const MANY = 500;

/** After so many takes one begins at the beginning: for what was put back, and for whose transaction took longer. */
const TAKES = 16;

interface Start {
  next: number;
  taken: number;
  /** How many takes have begun here. */
  takes: number;
}

/**
 * Where takes of a long queue begin: what was taken before lies at the beginning of its
 * index until the next VACUUM, and each take would read all of it.
 */
export class Starts {
  readonly #byQueue = new Map<number, Start>();

  /** The first number that is worth a look. */
  of(queue: number): number {
    const start = this.#byQueue.get(queue);
    return start === undefined || start.taken < MANY || start.takes >= TAKES
      ? 0
      : start.next;
  }

  /** Notes what was taken from a number on; less than was asked for is all that was there. */
  took(
    queue: number,
    { from, rows, limit }: {
      readonly from: number;
      readonly rows: readonly Row[];
      readonly limit: number;
    },
  ): void {
    if (rows.length < limit) {
      this.#byQueue.delete(queue);
      return;
    }
    const start = this.#byQueue.get(queue) ?? { next: 0, taken: 0, takes: 0 };
    start.next = Number(rows.at(-1)?.id ?? 0) + 1;
    start.taken += rows.length;
    start.takes = from === 0 ? 0 : start.takes + 1;
    this.#byQueue.set(queue, start);
  }
  /** Begins at the beginning again. */
  forget(queue: number): void {
    this.#byQueue.delete(queue);
  }
}
