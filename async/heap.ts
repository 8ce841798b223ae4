/**
 * Items of which the first, by an order, is at hand: adding one and taking the first cost
 * the logarithm of how many there are. Items that are equal come in no order.
 */
export class Heap<T> {
  /** Each stands before the two at twice its place, and one and two more. */
  readonly #items: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  /** Makes an empty heap. */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  /** How many items there are. */
  get size(): number {
    return this.#items.length;
  }

  /** The first item, or `undefined` if there is none. */
  get first(): T | undefined {
    return this.#items[0];
  }

  /** Adds an item. */
  add(item: T): void {
    const items = this.#items;
    let place = items.length;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = items[above];
      if (other === undefined || !this.#isBefore(item, other)) break;
      items[place] = other;
      place = above;
    }
    items[place] = item;
  }

  /** Takes the first item, or returns `undefined` if there is none. */
  take(): T | undefined {
    const first = this.#items[0];
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) this.#sink(last);
    return first;
  }

  /** All items, in their order. */
  sorted(): T[] {
    return this.#items.toSorted((a, b) =>
      this.#isBefore(a, b) ? -1 : this.#isBefore(b, a) ? 1 : 0
    );
  }

  /** Finds an item for which a condition holds, in no order. */
  find(condition: (item: T) => boolean): T | undefined {
    return this.#items.find(condition);
  }

  /** Forgets the items that a condition does not hold for. */
  keep(condition: (item: T) => boolean): void {
    const kept = this.#items.filter(condition);
    this.clear();
    for (const item of kept) this.add(item);
  }

  /** Forgets all. */
  clear(): void {
    this.#items.length = 0;
  }

  /** Puts an item at the top, and lets it down to where it belongs. */
  #sink(item: T): void {
    const items = this.#items;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      const [one, two] = [items[below], items[below + 1]];
      if (one === undefined) break;
      const isSecond = two !== undefined && this.#isBefore(two, one);
      if (isSecond) below++;
      const other = isSecond ? two : one;
      if (!this.#isBefore(other, item)) break;
      items[place] = other;
      place = below;
    }
    items[place] = item;
  }
}
