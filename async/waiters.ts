/** A place in {@linkcode Waiters}. */
export interface Place {
  /** Leaves it, and lets go of what waited there. Leaving late or twice does nothing. */
  leave(): void;
}

/** A list of waiters in order; any of them may leave, at the same cost at any length. */
export class Waiters<T> {
  #first: Entry<T> | undefined;
  #last: Entry<T> | undefined;

  /** Whether nobody waits. */
  get empty(): boolean {
    return this.#first === undefined;
  }

  /** Adds one at the end. */
  add(item: T): Place {
    const entry = new Entry(item, this.#unlink);
    entry.previous = this.#last;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    return entry;
  }

  /** Takes out the one that has waited longest, or `undefined`. */
  shift(): T | undefined {
    const entry = this.#first;
    const item = entry?.item;
    entry?.leave();
    return item;
  }

  readonly #unlink = (entry: Entry<T>): void => {
    if (entry.previous === undefined) this.#first = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === undefined) this.#last = entry.previous;
    else entry.next.previous = entry.previous;
    // A reference to the place must not keep its neighbours alive.
    entry.previous = entry.next = undefined;
  };
}

class Entry<T> implements Place {
  item: T | undefined;
  readonly #unlink: (entry: Entry<T>) => void;
  previous: Entry<T> | undefined;
  next: Entry<T> | undefined;
  #waiting = true;

  constructor(item: T, unlink: (entry: Entry<T>) => void) {
    this.item = item;
    this.#unlink = unlink;
  }

  leave(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.item = undefined;
    this.#unlink(this);
  }
}
