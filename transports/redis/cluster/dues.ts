/** When time will next change something in a queue, and as of which moment that is known. */
interface Due {
  /** On our clock; `-Infinity` where nobody has looked. */
  readonly at: number;
  readonly asOf: number;
}

/**
 * When time will next change something in queues that each have a slot of their own. A slot
 * says it when it is looked into. Nodes answer at different times, so the answer to a look may
 * come behind the news of a change that it knows nothing of: then the queue is still to be
 * looked at.
 */
export class Dues {
  readonly #dues = new Map<string, Due>();
  /** The number of the last look or change. */
  #last = 0;

  /** A look leaves now. Returns the moment that its answers are of. */
  begin(): number {
    return ++this.#last;
  }

  /** Something has changed in a queue, or it may have in any of them: they are to be looked at. */
  ring(queue?: string): void {
    const due = { at: -Infinity, asOf: ++this.#last };
    for (const each of queue === undefined ? this.#dues.keys() : [queue]) {
      this.#dues.set(each, due);
    }
  }

  /** These are to be looked at, if they are new. */
  add(queues: Iterable<string>): void {
    for (const queue of queues) if (!this.#dues.has(queue)) this.ring(queue);
  }

  /** A look has found when the queue is to be looked at next; `undefined` is never. */
  answer(queue: string, asOf: number, at: number | undefined): void {
    const known = this.#dues.get(queue);
    if (known !== undefined && known.asOf > asOf) return;
    if (at === undefined) this.#dues.delete(queue);
    else this.#dues.set(queue, { at, asOf });
  }

  /** A queue is gone. */
  forget(queue: string): void {
    this.#dues.delete(queue);
  }

  /** Returns the queues that are to be looked at. */
  *over(now: number): Iterable<string> {
    for (const [queue, { at }] of this.#dues) if (at <= now) yield queue;
  }

  /** When the next one is to be looked at; `Infinity` where there is none. */
  get next(): number {
    let next = Infinity;
    for (const { at } of this.#dues.values()) next = Math.min(next, at);
    return next;
  }
}
