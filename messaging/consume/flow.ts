/** The part that has paused a consumer. */
export type Pauser = "user" | "breaker";

/**
 * Whether a consumer takes messages now, and how many: what its user, or a breaker, says
 * while it is at work. It outlives connections, and the consumer's end.
 */
export class Flow {
  readonly #pausers = new Set<Pauser>();
  /** Resolves when nobody pauses it any more; none while it is open. */
  #opening: PromiseWithResolvers<void> | undefined;
  /** The maximum number of messages of each queue that are unsettled, as the user says. */
  #prefetch: number;

  /** Makes one that is open. */
  constructor(prefetch: number) {
    this.#prefetch = prefetch;
  }

  /** The maximum number of messages of each queue that are unsettled. */
  get prefetch(): number {
    return this.#prefetch;
  }

  set prefetch(prefetch: number) {
    this.#prefetch = prefetch;
  }

  /** Whether nobody pauses it. */
  get isOpen(): boolean {
    return this.#pausers.size === 0;
  }

  /** Pauses it, for somebody. */
  pause(pauser: Pauser): void {
    this.#pausers.add(pauser);
    this.#opening ??= Promise.withResolvers<void>();
  }

  /** Somebody does not pause it any more. */
  resume(pauser: Pauser): void {
    this.#pausers.delete(pauser);
    if (!this.isOpen) return;
    this.#opening?.resolve();
    this.#opening = undefined;
  }

  /**
   * Waits until nobody pauses it.
   *
   * @param signal Ends the waiting.
   */
  async opened(signal: AbortSignal): Promise<void> {
    if (this.#opening === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const onAbort = () => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (this.#opening !== undefined && !signal.aborted) {
        await Promise.race([this.#opening.promise, promise]);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}
