import { Ring } from "../../async/ring.ts";
import type { ReceivedMessage } from "./message.ts";
import { type PaceCalls, type PaceHost, rest } from "./pace.ts";
import { groupOf, type RateLimitOptions } from "./rate_limit.ts";

/** Between a count that failed and its next attempt, ms. */
const ASK_AGAIN = 1000;

/** How the broker counts messages for all processes. */
export interface SharedCount {
  /** Whether all messages are of one queue. */
  readonly hasOneQueue: boolean;
  /**
   * Asks the broker for one more of a queue and a key.
   *
   * @returns 0 where it is counted; else milliseconds until one may be.
   */
  admit(queue: string, key: string, signal: AbortSignal): Promise<number>;
}

/** The calls of handlers, as their runner makes them. */
export interface SharedPaceCalls<T> extends PaceCalls<T> {
  /** Holds a place while the broker is asked, so that who is counted begins at once. */
  hold(): void;
  /** Gives it back. */
  release(): void;
  /** Tells that the broker could not count. */
  tell(message: ReceivedMessage<T>, error: unknown): void;
}

/** Messages of a queue and a key that wait to be counted. */
interface Group<T> {
  readonly queue: string;
  readonly key: string;
  readonly waiting: Ring<ReceivedMessage<T>>;
}

/**
 * How often all processes together begin with messages. The broker counts, so that each
 * message is in hand first: it waits here, in order, and is counted when it begins.
 */
export class SharedPace<T> {
  readonly #options: RateLimitOptions<T>;
  readonly #host: PaceHost;
  readonly #shared: SharedCount;
  readonly #calls: SharedPaceCalls<T>;
  readonly #groups = new Map<string, Group<T>>();
  /** Resolves when nobody waits; none unless somebody wants to know. */
  #empty: PromiseWithResolvers<void> | undefined;

  /** Makes one in which nothing waits. */
  constructor(
    options: RateLimitOptions<T>,
    host: PaceHost,
    count: SharedCount,
    calls: SharedPaceCalls<T>,
  ) {
    this.#options = options;
    this.#host = host;
    this.#shared = count;
    this.#calls = calls;
  }

  /** Resolves when a message may be taken; `undefined` unless it could only wait behind another. */
  beforeTaking(): Promise<void> | undefined {
    const isOneLine = this.#options.key === undefined &&
      this.#shared.hasOneQueue;
    if (!isOneLine || this.#groups.size === 0) return undefined;
    if (this.#host.hasEnded()) return undefined;
    if (this.#empty === undefined) {
      this.#empty = Promise.withResolvers<void>();
      const callOff = this.#host.onEnd(() => this.#wake());
      this.#empty.promise.then(callOff);
    }
    return this.#empty.promise;
  }

  /** A message waits until it is counted, or has failed for its group. */
  mustWait(message: ReceivedMessage<T>): boolean {
    let key;
    try {
      key = groupOf(this.#options, message);
    } catch (error) {
      this.#calls.failed(message, error);
      return true;
    }
    this.#host.want(1);
    const { queue } = message.deliveryInfo;
    const name = JSON.stringify([queue, key]);
    let group = this.#groups.get(name);
    if (group !== undefined) group.waiting.push(message);
    else {
      group = { queue, key, waiting: new Ring() };
      group.waiting.push(message);
      this.#groups.set(name, group);
      void this.#letIn(name, group);
    }
    return true;
  }

  /** A message that is not begun with like others waits in its place until it is counted. Never rejects. */
  async untilCounted(message: ReceivedMessage<T>): Promise<void> {
    let key;
    try {
      key = groupOf(this.#options, message);
    } catch {
      return; // its handler is called all the same
    }
    const { queue } = message.deliveryInfo;
    while (!this.#host.hasEnded() && message.isOpen) {
      const delay = await this.#admit(queue, key, message);
      if (delay === 0) return;
      await rest(this.#host, delay);
    }
  }

  /** Takes all messages that wait. */
  clear(): ReceivedMessage<T>[] {
    return [...this.#groups.values()].flatMap(({ waiting }) => waiting.clear());
  }

  /** Never rejects. */
  async #letIn(
    name: string,
    { queue, key, waiting }: Group<T>,
  ): Promise<void> {
    for (;;) {
      const first = waiting.at(0);
      if (this.#host.hasEnded()) return; // those that wait are about to be taken out
      if (first === undefined) break;
      if (!first.isOpen) {
        waiting.shift();
        this.#calls.gone(first);
        continue;
      }
      const place = this.#calls.place();
      if (place !== undefined) {
        await place;
        continue;
      }
      this.#calls.hold();
      const delay = await this.#admit(queue, key, first);
      this.#calls.release();
      if (delay > 0) await rest(this.#host, delay);
      // Else it was counted, and went back meanwhile: others begin later for it.
      else if (waiting.at(0) === first && first.isOpen) {
        waiting.shift();
        this.#host.want(-1);
        this.#calls.begin(first);
      }
    }
    this.#groups.delete(name);
    if (this.#groups.size === 0) this.#wake();
  }

  /** Never rejects. */
  async #admit(
    queue: string,
    key: string,
    message: ReceivedMessage<T>,
  ): Promise<number> {
    const ending = new AbortController();
    const callOff = this.#host.onEnd(() => ending.abort());
    try {
      return await this.#shared.admit(queue, key, ending.signal);
    } catch (error) {
      if (!ending.signal.aborted && message.isOpen) {
        this.#calls.tell(message, error);
      }
      return ASK_AGAIN;
    } finally {
      callOff();
    }
  }

  #wake(): void {
    this.#empty?.resolve();
    this.#empty = undefined;
  }
}
