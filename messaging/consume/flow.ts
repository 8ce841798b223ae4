/**
 * Whether a consumer takes messages now, and how many, as its user says while it is at
 * work. It outlives connections, and the consumer's end.
 */
export class Flow {
  /** The maximum number of messages of each queue that are unsettled. */
  prefetch: number;
  /** Resolves when it is no longer paused; none while it is open. */
  #opening: PromiseWithResolvers<void> | undefined;

  /** Makes one that is open. */
  constructor(prefetch: number) {
    this.prefetch = prefetch;
  }

  /** Whether it is not paused. */
  get isOpen(): boolean {
    return this.#opening === undefined;
  }

  /** Pauses it, unless it is paused. */
  pause(): void {
    this.#opening ??= Promise.withResolvers<void>();
  }

  /** Opens it, unless it is open. */
  resume(): void {
    this.#opening?.resolve();
    this.#opening = undefined;
  }

  /**
   * Waits until it is open.
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
