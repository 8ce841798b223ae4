/** So many bytes at once are asked of the runtime. */
const PAGE = 32_768;

/** A larger body has a buffer of its own, so that few of them hold no page for long. */
const MAX_IN_PAGE = PAGE / 8;

/**
 * Copies bytes, small ones into a page that they share: a buffer for each costs many
 * times what the copying does.
 */
export class Slab {
  #page = new Uint8Array(0);
  #buffer: ArrayBuffer = this.#page.buffer;
  #used = 0;
  #last: ArrayBuffer = this.#buffer;

  /** The buffer of the bytes that were added last. */
  get buffer(): ArrayBuffer {
    return this.#last;
  }

  /**
   * Copies bytes.
   *
   * @param bytes The bytes.
   * @param apart Whether they are to have a buffer of their own, for they stay long.
   * @returns The offset of the copy in {@linkcode buffer}.
   */
  add(bytes: Uint8Array, apart = false): number {
    const size = bytes.length;
    if (size > MAX_IN_PAGE || apart) {
      // Not by slice(): that of Node's Buffer shares its memory.
      this.#last = new Uint8Array(bytes).buffer;
      return 0;
    }
    // Of a page that somebody has transferred nothing is left.
    if (this.#used + size > this.#page.length) {
      this.#page = new Uint8Array(PAGE);
      this.#buffer = this.#page.buffer;
      this.#used = 0;
    }
    const offset = this.#used;
    this.#used += size;
    this.#page.set(bytes, offset);
    this.#last = this.#buffer;
    return offset;
  }

  /**
   * Copies bytes.
   *
   * @param bytes The bytes.
   * @returns The copy; its buffer may hold others.
   */
  copy(bytes: Uint8Array): Uint8Array {
    const offset = this.add(bytes);
    return new Uint8Array(this.#last, offset, bytes.length);
  }
}
