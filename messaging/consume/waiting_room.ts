import { Ring } from "../../async/ring.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { ReceivedMessage } from "./message.ts";

/** The parts of a runner that its {@linkcode WaitingRoom} uses. */
export interface WaitingRoomHost<T> {
  /** Whether no more messages come: those that wait here are about to be taken out. */
  hasEnded(): boolean;
  /** Waits, or until no more messages come. Never rejects. */
  rest(delay: number): Promise<void>;
  /** Resolves when a handler may be called; `undefined` if one may be now. */
  place(): Promise<void> | undefined;
  /** Calls the handler. */
  begin(message: ReceivedMessage<T>): void;
  /** A message that waited is no longer ours, and is delivered again. */
  gone(message: ReceivedMessage<T>): void;
  /** So many more messages would be begun with at once. */
  want(count: number): void;
}

/**
 * The messages whose group has reached its limit. They wait here, each group in order, while
 * others are handled.
 */
export class WaitingRoom<T> {
  readonly #limit: RateLimit<T>;
  readonly #host: WaitingRoomHost<T>;
  readonly #groups = new Map<string, Ring<ReceivedMessage<T>>>();

  /** Makes an empty one. */
  constructor(limit: RateLimit<T>, host: WaitingRoomHost<T>) {
    this.#limit = limit;
    this.#host = host;
  }

  /** Whether a message of this group has to wait: for its time, or for those before it. */
  mustWait(key: string): boolean {
    return (this.#groups.get(key)?.size ?? 0) > 0 || this.#limit.delay(key) > 0;
  }

  /** A message waits here until it may begin. */
  add(key: string, message: ReceivedMessage<T>): void {
    // Another may have its handler meanwhile.
    this.#host.want(1);
    const group = this.#groups.get(key);
    if (group !== undefined) return group.push(message);
    const waiting = new Ring<ReceivedMessage<T>>();
    waiting.push(message);
    this.#groups.set(key, waiting);
    void this.#letIn(key, waiting);
  }

  /** Takes all that wait. */
  clear(): ReceivedMessage<T>[] {
    return [...this.#groups.values()].flatMap((group) => group.clear());
  }

  /** Never rejects. */
  async #letIn(key: string, group: Ring<ReceivedMessage<T>>): Promise<void> {
    for (;;) {
      const first = group.at(0);
      if (first === undefined) break;
      if (!first.isOpen) {
        group.shift();
        this.#host.gone(first);
        continue;
      }
      const delay = this.#limit.delay(key);
      if (this.#host.hasEnded()) return;
      if (delay > 0) {
        await this.#host.rest(delay);
        continue;
      }
      const place = this.#host.place();
      if (place !== undefined) {
        await place;
        continue;
      }
      group.shift();
      this.#limit.note(key);
      this.#host.want(-1);
      this.#host.begin(first);
    }
    this.#groups.delete(key);
  }
}
