import { Ring } from "./ring.ts";

/**
 * A queue, within the process, of values that wait for a taker. Nothing is lost between
 * them, and there is no promise for an item that is already there.
 */
export class Mailbox<T> {
  readonly #items = new Ring<T>();
  readonly #waiting = new Ring<Waiting<T>>();
  /** Called at the end. */
  readonly #atEnd = new Set<() => void>();
  #end: { readonly error: unknown } | "quiet" | undefined;

  /** How many items wait. */
  get size(): number {
    return this.#items.size;
  }

  /** Whether nothing more can arrive. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** The error that it was ended with. */
  get failure(): unknown {
    return typeof this.#end === "object" ? this.#end.error : undefined;
  }

  /** Adds an item, or hands it to the caller that has waited longest. After the end it is dropped: look at `ended` first. */
  put(item: T): void {
    if (this.#end !== undefined) return;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting.resolve(item);
  }

  /** Looks at the item that is taken next, or `undefined`. */
  peek(): T | undefined {
    return this.#items.at(0);
  }

  /** Takes an item that is there, or `undefined`. */
  take(): T | undefined {
    return this.#items.shift();
  }

  /**
   * Waits for an item.
   *
   * @returns The item; `undefined` when the end came quietly.
   * @throws The error that the end came with.
   */
  next(): Promise<T | undefined> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    if (this.#end === "quiet") return Promise.resolve(undefined);
    if (this.#end !== undefined) return Promise.reject(this.#end.error);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Ends it quietly: its items can still be taken, and nothing more is added. */
  end(): void {
    if (this.#end !== undefined) return;
    this.#end = "quiet";
    for (const waiting of this.#waiting.clear()) waiting.resolve(undefined);
    this.#tellEnd();
  }

  /** Ends it with an error, for everyone who waits or comes after the last item. */
  fail(error: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    for (const waiting of this.#waiting.clear()) waiting.reject(error);
    this.#tellEnd();
  }

  /**
   * Calls back at the end, once.
   *
   * @returns A function that calls it off.
   */
  onEnd(callback: () => void): () => void {
    this.#atEnd.add(callback);
    return () => this.#atEnd.delete(callback);
  }

  #tellEnd(): void {
    for (const callback of [...this.#atEnd]) callback();
    this.#atEnd.clear();
  }

  /** Takes all items that are there. */
  clear(): T[] {
    return this.#items.clear();
  }
}

interface Waiting<T> {
  readonly resolve: (item: T | undefined) => void;
  readonly reject: (error: unknown) => void;
}
