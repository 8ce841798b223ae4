/** Options that every asynchronous call below `messaging/` accepts. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined;
  /** The moment, on the connection's clock (milliseconds, as of `performance.now()`), by which the call must settle. */
  readonly deadline?: number | undefined;
  /**
   * Whether the limits were set, or looked at, just before the call, so that none is over
   * yet: who publishes or settles need not look at the clock again, which costs a tenth of
   * what the rest of a message does.
   */
  readonly fresh?: boolean | undefined;
}
