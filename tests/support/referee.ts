/** The one who watches workers that handle the messages of keys in order. */

/** A worker that handles messages: a process, or a connection of this one. */
export interface Worker {
  /** Whether it was killed: what it has said since counts for nothing. */
  isDead: boolean;
}

/** The word of a worker: it begins with message `n` of a key, or has done with it, well or not. */
export type Word = readonly [
  what: "begin" | "done" | "failed",
  key: number,
  n: number,
];

/**
 * Watches that no key has two workers at once, and that its messages begin in order: those
 * that begin for the first time, for what was not acked by a worker that was killed comes
 * again.
 */
export class Referee {
  /** The breaches of the rules, in words. */
  readonly faults: string[] = [];
  /** How many messages are done. */
  done = 0;
  /** How many calls there were: failures and repetitions count. */
  calls = 0;
  readonly #each: number;
  /** By key: who has it now, and with which message. */
  readonly #holders = new Map<number, { worker: Worker; n: number }>();
  /** By key: the last message that has begun, and how many are done, of which each is told by its number. */
  readonly #last: Int32Array;
  readonly #isDone: Uint8Array;

  /** Makes one for so many keys with so many messages each. */
  constructor(keys: number, each: number) {
    this.#each = each;
    this.#last = new Int32Array(keys).fill(-1);
    this.#isDone = new Uint8Array(keys * each);
  }

  /** A worker speaks. */
  hear(worker: Worker, [what, key, n]: Word): void {
    if (worker.isDead) return;
    const holder = this.#holders.get(key);
    if (what !== "begin") {
      if (holder?.worker !== worker || holder.n !== n) {
        this.faults.push(`${key}/${n} ended, and had not begun`);
      }
      this.#holders.delete(key);
      if (what === "done") this.#note(key * this.#each + n);
      return;
    }
    this.calls++;
    if (holder !== undefined) {
      this.faults.push(
        `${key}/${n} began while ${key}/${holder.n} was at work`,
      );
    }
    this.#holders.set(key, { worker, n });
    const last = this.#last[key] ?? -1;
    if (n > last + 1) {
      this.faults.push(`${key}/${n} began after ${key}/${last}`);
    }
    this.#last[key] = Math.max(last, n);
  }

  /** A worker is killed: its keys are free. */
  bury(worker: Worker): void {
    worker.isDead = true;
    for (const [key, holder] of this.#holders) {
      if (holder.worker === worker) this.#holders.delete(key);
    }
  }

  #note(index: number): void {
    if (this.#isDone[index] === 1) return;
    this.#isDone[index] = 1;
    this.done++;
  }
}
