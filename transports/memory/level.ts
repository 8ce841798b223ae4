import { Heap } from "../../async/heap.ts";
import { Ring } from "../../async/ring.ts";
import type { Item } from "./kept.ts";

/**
 * The messages of one priority: a ring of those that were put, and a heap of those that
 * came back and are not before them all. Each stands where it was, and no other is moved
 * for it, however many came back.
 */
export class Level {
  readonly #ring = new Ring<Item>();
  readonly #back = new Heap<Item>((a, b) => a.sequence < b.sequence);

  /** Adds a message at the end. */
  push(item: Item): void {
    this.#ring.push(item);
  }

  /** Puts a message back to where it was. */
  restore(item: Item): void {
    const first = this.#ring.at(0);
    if (
      this.#back.size === 0 &&
      (first === undefined || first.sequence > item.sequence)
    ) this.#ring.unshift(item);
    else this.#back.add(item);
  }

  /** The message whose turn it is. */
  get head(): Item | undefined {
    const first = this.#ring.at(0);
    const back = this.#back.first;
    if (first === undefined || back === undefined) return first ?? back;
    return back.sequence < first.sequence ? back : first;
  }

  /** Takes it. */
  shift(): Item | undefined {
    if (this.#back.size === 0) return this.#ring.shift();
    const { head } = this;
    if (head !== this.#back.first) return this.#ring.shift();
    return this.#back.take();
  }

  /** The messages whose turn comes first, so many at most. */
  list(max: number): Item[] {
    const back = this.#back.sorted();
    const found: Item[] = [];
    for (let i = 0, j = 0; found.length < max;) {
      const [first, other] = [this.#ring.at(i), back[j]];
      const isBack = other !== undefined &&
        (first === undefined || other.sequence < first.sequence);
      const item = isBack ? other : first;
      if (item === undefined) break;
      found.push(item);
      if (isBack) j++;
      else i++;
    }
    return found;
  }

  /** Forgets all. */
  clear(): void {
    this.#ring.clear();
    this.#back.clear();
  }
}
