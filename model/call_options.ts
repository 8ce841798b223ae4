/** Options that every asynchronous call below `messaging/` accepts. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined;
  /** The moment, on the connection's clock (milliseconds, as of `performance.now()`), by which the call must settle. */
  readonly deadline?: number | undefined;
}
