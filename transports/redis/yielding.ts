import type { Clock } from "../../async/clock.ts";

/** How long who was late once waits the next time, and at the most, ms. */
const FIRST_DELAY = 5;
const MAX_DELAY = 250;

/** How much sooner who got something looks the next time, in misses. */
const WIN = 2;

/** How a queue is looked at. */
export interface YieldingHost {
  /** Says whether a queue has something, and has the server tell of what changes. */
  peek(queue: string): Promise<boolean>;
  /** A queue may have something. */
  ring(queue: string): void;
}

/**
 * Leaves a message, of which the server tells all idle workers, to the one that has been
 * quickest: who found nothing waits for a while by chance before it looks again, the longer
 * the more often it found nothing, and then asks first whether there is anything. So one
 * worker takes, however many are idle; where that one is busy, the next of them looks within
 * that while, and sooner from then on.
 */
export class Yielding {
  readonly #clock: Clock;
  readonly #host: YieldingHost;
  /** By queue, how often a look that the server caused found nothing, less what was found. */
  readonly #misses = new Map<string, number>();
  /** Queues that the server notified us of since they were looked at. */
  readonly #told = new Set<string>();
  readonly #timers = new Map<string, () => void>();

  /** Makes one that waits for nothing. */
  constructor(clock: Clock, host: YieldingHost) {
    this.#clock = clock;
    this.#host = host;
  }

  /** The server tells that a queue's list has changed; `isShared` says whether it is waited for here and consumed elsewhere, too. */
  tell(queue: string, isShared: boolean): void {
    if (this.#timers.has(queue)) return;
    this.#told.add(queue);
    const misses = this.#misses.get(queue) ?? 0;
    if (!isShared || misses === 0) return this.#host.ring(queue);
    const longest = Math.min(FIRST_DELAY * 2 ** misses, MAX_DELAY);
    const stop = this.#clock.timer(() => {
      this.#timers.delete(queue);
      void this.#peek(queue);
    }, Math.random() * longest);
    this.#timers.set(queue, stop);
  }

  async #peek(queue: string): Promise<void> {
    // If the check fails, the queue counts as not empty: a consumer will see.
    const has = await this.#host.peek(queue).catch(() => true);
    if (has) this.#host.ring(queue);
    else this.looked(queue, false);
  }

  /** A queue was looked at. */
  looked(queue: string, hasFound: boolean): void {
    if (!this.#told.delete(queue)) return;
    const misses = (this.#misses.get(queue) ?? 0) + (hasFound ? -WIN : 1);
    // More of them would change nothing.
    if (misses > 0) this.#misses.set(queue, Math.min(misses, 6));
    else this.#misses.delete(queue);
  }

  /** A queue is looked at all the same: nothing is to be waited for. */
  forget(queue: string): void {
    this.#timers.get(queue)?.();
    this.#timers.delete(queue);
  }

  /** Ends with its connection. */
  close(): void {
    for (const stop of this.#timers.values()) stop();
    this.#timers.clear();
  }
}
