import { Ring } from "../../async/ring.ts";
import type { Item } from "./queue.ts";

/**
 * The messages of one priority: a ring of those that were put, and a heap of those that
 * came back and are not before them all. Each stands where it was, and no other is moved
 * for it, however many came back.
 */
export class Level {
  readonly #ring = new Ring<Item>();
  /** The first to be served is the first; each stands before the two at twice its place, and one and two more. */
  readonly #heap: Item[] = [];

  /** Adds a message at the end. */
  push(item: Item): void {
    this.#ring.push(item);
  }

  /** Puts a message back to where it was. */
  restore(item: Item): void {
    const first = this.#ring.at(0);
    if (
      this.#heap.length === 0 &&
      (first === undefined || first.sequence > item.sequence)
    ) this.#ring.unshift(item);
    else this.#raise(item);
  }

  /** The message whose turn it is. */
  get head(): Item | undefined {
    const first = this.#ring.at(0);
    const back = this.#heap[0];
    if (first === undefined || back === undefined) return first ?? back;
    return back.sequence < first.sequence ? back : first;
  }

  /** Takes it. */
  shift(): Item | undefined {
    if (this.#heap.length === 0) return this.#ring.shift();
    const { head } = this;
    if (head !== this.#heap[0]) return this.#ring.shift();
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
    return head;
  }

  /** Forgets all. */
  clear(): void {
    this.#ring.clear();
    this.#heap.length = 0;
  }

  #raise(item: Item): void {
    let place = this.#heap.length;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = this.#heap[above];
      if (other === undefined || other.sequence <= item.sequence) break;
      this.#heap[place] = other;
      place = above;
    }
    this.#heap[place] = item;
  }

  #sink(item: Item): void {
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      const [one, two] = [this.#heap[below], this.#heap[below + 1]];
      if (one === undefined) break;
      const isSecond = two !== undefined && two.sequence < one.sequence;
      if (isSecond) below++;
      const other = isSecond ? two : one;
      if (other.sequence >= item.sequence) break;
      this.#heap[place] = other;
      place = below;
    }
    this.#heap[place] = item;
  }
}
