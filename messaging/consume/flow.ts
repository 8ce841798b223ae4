/**
 * Whether a consumer takes messages now, and how many: as its user says while it is at
 * work, and as a circuit breaker does beside him. It outlives connections, and the
 * consumer's end.
 */
export class Flow {
  #prefetch: number;
  #isPaused = false;
  /** How its circuit breaker is; closed without one. */
  #breaker: "closed" | "open" | "half-open" = "closed";
  /** Resolves when nobody holds it any more; none while it is open. */
  #opening: PromiseWithResolvers<void> | undefined;

  /** Makes one that is open. */
  constructor(prefetch: number) {
    this.#prefetch = prefetch;
  }

  /** The maximum number of messages of each queue that are unsettled. */
  get prefetch(): number {
    return this.#breaker === "half-open" ? 1 : this.#prefetch;
  }

  /** Changes the number that the user wants; says whether it was another. */
  setPrefetch(prefetch: number): boolean {
    const isOther = this.#prefetch !== prefetch;
    this.#prefetch = prefetch;
    return isOther;
  }

  /** Whether nobody holds it. */
  get isOpen(): boolean {
    return this.#opening === undefined;
  }

  /** Whether the user has paused it. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Pauses it for the user, or lets it go on; says whether that was a change. */
  pause(isPaused: boolean): boolean {
    const isOther = this.#isPaused !== isPaused;
    this.#isPaused = isPaused;
    this.#update();
    return isOther;
  }

  /** The circuit breaker is open: nothing is taken; half open: one message; or closed. */
  breakerIs(state: "closed" | "open" | "half-open"): void {
    this.#breaker = state;
    this.#update();
  }

  #update(): void {
    if (this.#isPaused || this.#breaker === "open") {
      this.#opening ??= Promise.withResolvers<void>();
    } else {
      this.#opening?.resolve();
      this.#opening = undefined;
    }
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
