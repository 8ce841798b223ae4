import { Ring } from "../../async/ring.ts";
import type { Clock } from "../../async/clock.ts";
import type { ReceivedMessage } from "./message.ts";

/** The services that a {@linkcode KeyOrder} has from its runner. */
export interface KeyOrderHost<T> {
  readonly clock: Clock;
  /** A message that is there. */
  take(): ReceivedMessage<T> | undefined;
  /** The next message; `undefined` at the end. */
  next(): Promise<ReceivedMessage<T> | undefined>;
  /** Whether no more messages come. */
  hasEnded(): boolean;
  /** So many more messages would be begun with at once. */
  want(count: number): void;
  /** Gives a message back. */
  letGo(message: ReceivedMessage<T>): void;
}

/** The result of a runner's source: a message, `undefined` at the end, or an error. */
type Fetched<T> =
  | { readonly message: ReceivedMessage<T> | undefined }
  | { readonly error: unknown };

/**
 * The source of a runner's messages where those of one key are handled one after another:
 * a message whose key is in use waits here, without the place of a handler, and so does one
 * between two attempts that does not wait in the broker.
 */
export class KeyOrder<T> {
  readonly #host: KeyOrderHost<T>;
  /** The keys in use, and what waits for each in order; nothing as long as there is none. */
  readonly #keys = new Map<string, Ring<ReceivedMessage<T>> | undefined>();
  /** Messages that have their key, and may be begun with. */
  #ready = new Ring<ReceivedMessage<T>>();
  /** Messages that have their key, and wait for their next attempt: what ends that. */
  readonly #resting = new Map<ReceivedMessage<T>, () => void>();
  /** The result that came while nobody waited for it: a message, the end, or an error. */
  #fetched: Fetched<T> | undefined;
  #isFetching = false;
  /** The message that was taken last, if it has its key. */
  #resumed: ReceivedMessage<T> | undefined;
  #wake: (() => void) | undefined;

  /** Makes one in which no key is in use. */
  constructor(host: KeyOrderHost<T>) {
    this.#host = host;
  }

  /** Takes a message that is there: one whose turn has come before new ones. */
  take(): ReceivedMessage<T> | undefined {
    for (;;) {
      const ready = this.#ready.shift();
      if (ready === undefined) break;
      if (ready.isOpen) {
        this.#host.want(-1);
        return this.#resumed = ready;
      }
      this.left(ready); // it is no longer ours, and is delivered again
    }
    return this.#isFetching || this.#fetched !== undefined
      ? undefined
      : this.#host.take();
  }

  /** Takes the next message; `undefined` at the end. */
  async next(): Promise<ReceivedMessage<T> | undefined> {
    for (;;) {
      const there = this.take();
      if (there !== undefined) return there;
      const fetched = this.#fetched;
      if (fetched !== undefined) {
        this.#fetched = undefined;
        if ("error" in fetched) throw fetched.error;
        return fetched.message;
      }
      if (!this.#isFetching) this.#fetch();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #fetch(): void {
    this.#isFetching = true;
    const done = (fetched: Fetched<T>) => {
      this.#isFetching = false;
      this.#fetched = fetched;
      this.#wake?.();
    };
    this.#host.next().then(
      (message) => done({ message }),
      (error) => done({ error }),
    );
  }

  /** Whether a message that was taken has its key already. */
  isResumed(message: ReceivedMessage<T>): boolean {
    return this.#resumed === message;
  }

  /** Whether a message has to wait here for those of its key before it; else it has the key now. */
  mustWait(message: ReceivedMessage<T>): boolean {
    if (this.#resumed === message) {
      this.#resumed = undefined;
      return false;
    }
    const { key } = message;
    if (key === undefined) return false;
    if (!this.#keys.has(key)) {
      this.#keys.set(key, undefined);
      return false;
    }
    const waiting = this.#keys.get(key) ?? new Ring<ReceivedMessage<T>>();
    this.#keys.set(key, waiting);
    waiting.push(message);
    this.#host.want(1); // another may have its handler meanwhile
    return true;
  }

  /** A message that had its key is settled, or lost: the next of its key may begin. */
  left(message: ReceivedMessage<T>): void {
    const { key } = message;
    if (key === undefined || this.#resting.has(message)) return;
    const waiting = this.#keys.get(key);
    // It will come again before those behind it.
    if (message.wentBack) {
      for (const each of waiting?.clear() ?? []) this.#host.letGo(each);
    }
    for (;;) {
      const next = waiting?.shift();
      if (next === undefined) break;
      if (next.isOpen) return this.#begin(next);
    }
    this.#keys.delete(key);
  }

  /** A message keeps its key, and is begun with again after a while. */
  rest(message: ReceivedMessage<T>, delay: number): void {
    if (this.#host.hasEnded()) return this.#host.letGo(message);
    const stop = this.#host.clock.timer(() => {
      this.#resting.delete(message);
      this.#begin(message);
    }, delay);
    this.#resting.set(message, stop);
  }

  /** Takes all that wait, those of each key in order. */
  clear(): ReceivedMessage<T>[] {
    const withKey = [...this.#resting.keys(), ...this.#ready.clear()];
    for (const stop of this.#resting.values()) stop();
    this.#resting.clear();
    const behind = [...this.#keys.values()].flatMap((each) =>
      each?.clear() ?? []
    );
    for (const { key } of withKey) {
      if (key !== undefined) this.#keys.delete(key);
    }
    const { message: last } = { message: undefined, ...this.#fetched };
    if (last === undefined) return [...withKey, ...behind];
    this.#fetched = undefined;
    return [...withKey, ...behind, last];
  }

  #begin(message: ReceivedMessage<T>): void {
    this.#ready.push(message);
    this.#wake?.();
  }
}
