import { type DeliveryTag, deliveryTag } from "../../model/message.ts";

/** From this many slots on, those that are nearly empty are not doubled. */
const MAX_EMPTY = 4096;

/**
 * The deliveries of a channel that are not settled, by delivery tag. Tags are consecutive,
 * so a tag is found by its distance from the oldest one. A few that stay while many others
 * come and go are kept apart, so that the room goes by what is unsettled and not by what
 * was delivered meanwhile.
 */
export class Window<T> {
  #slots: (T | undefined)[] = new Array(64);
  /** The entries that stayed behind, the oldest first: all are older than those in the slots. */
  readonly #stayed = new Map<number, T>();
  /** The oldest tag that may be unsettled in the slots. */
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
    if (this.#stayed.size > 0) {
      for (const tag of this.#stayed.keys()) return tag;
    }
    return this.#first;
  }

  /** The tag of the next delivery. */
  get next(): number {
    return this.#next;
  }

  /** Adds a delivery and names it. */
  add(held: T): DeliveryTag {
    if (this.#next - this.#first === this.#slots.length) this.#makeRoom();
    const tag = this.#next++;
    this.#slots[tag & (this.#slots.length - 1)] = held;
    this.#size++;
    return deliveryTag(tag);
  }

  /** Looks at a delivery, or returns `undefined` if it was settled or never was. */
  at(tag: DeliveryTag): T | undefined {
    if (tag >= this.#next) return undefined;
    if (tag < this.#first) return this.#stayed.get(tag);
    return this.#slots[tag & (this.#slots.length - 1)];
  }

  /** Puts another in the place of an unsettled delivery. */
  replace(tag: DeliveryTag, held: T): void {
    if (this.at(tag) === undefined) return;
    if (tag < this.#first) this.#stayed.set(tag, held);
    else this.#slots[tag & (this.#slots.length - 1)] = held;
  }

  /** Takes a delivery out, or returns `undefined` if it was settled or never was. */
  take(tag: DeliveryTag): T | undefined {
    if (tag >= this.#next) return undefined;
    if (tag < this.#first) return this.#takeStayed(tag);
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
    for (const [each, held] of this.#stayed) {
      if (each > tag) break;
      this.#takeStayed(each);
      taken.push(held);
    }
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

  /** Goes through the unsettled entries, the oldest first. */
  *entries(): Iterable<readonly [DeliveryTag, T]> {
    for (const [tag, held] of this.#stayed) yield [deliveryTag(tag), held];
    for (let tag = this.#first; tag < this.#next; tag++) {
      const held = this.#slots[tag & (this.#slots.length - 1)];
      if (held !== undefined) yield [deliveryTag(tag), held];
    }
  }

  #takeStayed(tag: number): T | undefined {
    const held = this.#stayed.get(tag);
    if (this.#stayed.delete(tag)) this.#size--;
    return held;
  }

  /** Doubles the slots; where hardly any is taken, keeps what is in them apart instead. */
  #makeRoom(): void {
    const old = this.#slots;
    const inSlots = this.#size - this.#stayed.size;
    if (old.length < MAX_EMPTY || inSlots > old.length / 8) return this.#grow();
    for (; this.#first < this.#next; this.#first++) {
      const slot = this.#first & (old.length - 1);
      const held = old[slot];
      if (held !== undefined) this.#stayed.set(this.#first, held);
      old[slot] = undefined;
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
