import { type DeliveryTag, deliveryTag } from "../../model/message.ts";

/**
 * What was delivered on a channel and not settled, by delivery tag. Tags are
 * consecutive, so a tag is found by its distance from the oldest one.
 */
export class Window<T> {
  #slots: (T | undefined)[] = new Array(64);
  /** The oldest tag that may be unsettled. */
  #first = 1;
  /** The tag of the next delivery. */
  #next = 1;
  #size = 0;

  /** How many deliveries are unsettled. */
  get size(): number {
    return this.#size;
  }

  /** The tag of the oldest unsettled delivery, or of the next one if all are settled. */
  get oldest(): number {
    return this.#first;
  }

  /** The tag of the next delivery. */
  get next(): number {
    return this.#next;
  }

  /** Adds a delivery and names it. */
  add(held: T): DeliveryTag {
    if (this.#next - this.#first === this.#slots.length) this.#grow();
    const tag = this.#next++;
    this.#slots[tag & (this.#slots.length - 1)] = held;
    this.#size++;
    return deliveryTag(tag);
  }

  /** Looks at a delivery, or returns `undefined` if it was settled or never was. */
  at(tag: DeliveryTag): T | undefined {
    if (tag < this.#first || tag >= this.#next) return undefined;
    return this.#slots[tag & (this.#slots.length - 1)];
  }

  /** Puts another in the place of an unsettled delivery. */
  replace(tag: DeliveryTag, held: T): void {
    if (this.at(tag) === undefined) return;
    this.#slots[tag & (this.#slots.length - 1)] = held;
  }

  /** Takes a delivery out, or returns `undefined` if it was settled or never was. */
  take(tag: DeliveryTag): T | undefined {
    if (tag < this.#first || tag >= this.#next) return undefined;
    const slot = tag & (this.#slots.length - 1);
    const held = this.#slots[slot];
    if (held === undefined) return undefined;
    this.#slots[slot] = undefined;
    this.#size--;
    while (
      this.#first < this.#next &&
      this.#slots[this.#first & (this.#slots.length - 1)] === undefined
    ) this.#first++;
    return held;
  }

  /** Takes out every delivery up to a tag, the oldest first. */
  takeUpTo(tag: DeliveryTag): T[] {
    const taken: T[] = [];
    const last = Math.min(tag, this.#next - 1);
    for (let each = this.#first; each <= last; each++) {
      const held = this.take(deliveryTag(each));
      if (held !== undefined) taken.push(held);
    }
    return taken;
  }

  /** Takes out everything, the oldest first. */
  clear(): T[] {
    return this.takeUpTo(deliveryTag(this.#next - 1));
  }

  /** Goes through what is unsettled, the oldest first. */
  *entries(): Iterable<readonly [DeliveryTag, T]> {
    for (let tag = this.#first; tag < this.#next; tag++) {
      const held = this.#slots[tag & (this.#slots.length - 1)];
      if (held !== undefined) yield [deliveryTag(tag), held];
    }
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Array<T | undefined>(old.length * 2);
    for (let tag = this.#first; tag < this.#next; tag++) {
      slots[tag & (slots.length - 1)] = old[tag & (old.length - 1)];
    }
    this.#slots = slots;
  }
}
