/** Options that every asynchronous call below `messaging/` accepts. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined;
  /** The moment, on the connection's clock (milliseconds, as of `performance.now()`), by which the call must settle. */
  readonly deadline?: number | undefined;
  /**
   * Whether the limits were set, or looked at, just before the call, so that none is over
   * yet. A look at the clock is a system call in many containers, and costs as much as the
   * rest of a message: who publishes or settles need not take another.
   */
  readonly fresh?: boolean | undefined;
}
