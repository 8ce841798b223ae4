import type { Topology } from "../../../virtual/topology.ts";

/** So many are remembered. */
const MAX_REMEMBERED = 1000;

/**
 * The `x-expires` of queues that went, as far as this connection has known them. A message
 * that is put there all the same, as other programs may take it, lives as long as Kombu's
 * processes let it, and not for ever.
 */
export class PastQueues {
  /** The latest last. */
  readonly #expires = new Map<string, number>();

  /** Returns a queue's, ms, if it had any. */
  expiresOf(queue: string): number | undefined {
    return this.#expires.get(queue);
  }

  /** A queue goes that the tables have still. */
  add(queue: string, topology: Topology): void {
    const expires = topology.queue(queue)?.traits.expires;
    if (expires === undefined) return;
    this.remove(queue);
    this.#expires.set(queue, expires);
    if (this.#expires.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#expires.keys();
    if (oldest !== undefined) this.remove(oldest);
  }

  /** A queue is there again. */
  remove(queue: string): void {
    this.#expires.delete(queue);
  }
}
