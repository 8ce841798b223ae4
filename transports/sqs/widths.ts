/** An answer that comes within this time was not waited for, ms: the message was there before. */
const QUICK = 250;
/** After so many quick answers in a row there may be more messages that can be had at once. */
const MIN_IN_A_ROW = 3;
/** So many are waited for, at most, where there were no more again and again. */
const MAX_IN_A_ROW = 96;
/** So many receives are sent at once, at most. */
const MAX_WIDTH = 10;

interface Width {
  /** How many receives are to be sent at once. */
  readonly width: number;
  /** How many single receives were answered quickly, one after the other. */
  readonly inARow: number;
  /** How many of them there are to be before two are sent at once. */
  readonly needed: number;
}

const FIRST: Width = { width: 1, inARow: 0, needed: MIN_IN_A_ROW };

/** How a round of receives went. */
export interface Round {
  /** How many receives were sent at once. */
  readonly asked: number;
  /** How many messages they had. */
  readonly got: number;
  /** How long it took, ms. */
  readonly took: number;
}

/**
 * How many receives of one message each a FIFO queue is sent at once: one where messages
 * are waited for, twice as many after each round in which all had one, and as many as had
 * one after each other round. A queue that has little, or few groups, so costs about as
 * many requests as one receive after the other.
 */
export class Widths {
  readonly #widths = new Map<string, Width>();

  /** Returns how many are to be sent at once. */
  of(queue: string): number {
    return (this.#widths.get(queue) ?? FIRST).width;
  }

  /** Learns from a round. */
  learn(queue: string, { asked, got, took }: Round): void {
    const known = this.#widths.get(queue) ?? FIRST;
    if (asked === 1) {
      if (got === 0 || took > QUICK) this.#widths.delete(queue);
      else this.#widths.set(queue, afterQuick(known));
    } else if (got < asked) {
      const needed = got > 1
        ? known.needed
        : Math.min(2 * known.needed, MAX_IN_A_ROW);
      this.#widths.set(queue, { width: Math.max(1, got), inARow: 0, needed });
    } else {
      const width = Math.min(Math.max(known.width, 2 * asked), MAX_WIDTH);
      this.#widths.set(queue, { ...FIRST, width });
    }
  }
}

function afterQuick({ width, inARow, needed }: Width): Width {
  const now = inARow + 1;
  return {
    width: now < needed ? width : Math.max(width, 2),
    inARow: now,
    needed,
  };
}
