/** A queue in a ring buffer: adding and taking at both ends cost the same at any depth. */
export class Ring<T> {
  #slots: (T | undefined)[] = new Array(16);
  #first = 0;
  #size = 0;

  /** How many items there are. */
  get size(): number {
    return this.#size;
  }

  /** Adds an item at the end. */
  push(item: T): void {
    if (this.#size === this.#slots.length) this.#grow();
    this.#slots[(this.#first + this.#size) & (this.#slots.length - 1)] = item;
    this.#size++;
  }

  /** Adds an item at the front. */
  unshift(item: T): void {
    if (this.#size === this.#slots.length) this.#grow();
    this.#first = (this.#first - 1) & (this.#slots.length - 1);
    this.#slots[this.#first] = item;
    this.#size++;
  }

  /** Takes the item at the front, or `undefined` if there is none. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#slots[this.#first];
    this.#slots[this.#first] = undefined;
    this.#first = (this.#first + 1) & (this.#slots.length - 1);
    this.#size--;
    return item;
  }

  /** Looks at the item that stands so many places behind the front. */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#size) return undefined;
    return this.#slots[(this.#first + index) & (this.#slots.length - 1)];
  }

  /** Puts another item in a place that has one, from the front. */
  set(index: number, item: T): void {
    if (index < 0 || index >= this.#size) {
      throw new RangeError(
        `Cannot set item ${index}: the ring has ${this.#size}`,
      );
    }
    this.#slots[(this.#first + index) & (this.#slots.length - 1)] = item;
  }

  /** Takes all items, in order. */
  clear(): T[] {
    const items: T[] = [];
    for (let item = this.shift(); item !== undefined; item = this.shift()) {
      items.push(item);
    }
    this.#slots = new Array(16);
    this.#first = 0;
    return items;
  }

  #grow(): void {
    const slots = new Array<T | undefined>(this.#slots.length * 2);
    for (let i = 0; i < this.#size; i++) slots[i] = this.at(i);
    this.#slots = slots;
    this.#first = 0;
  }
}
