/**
 * Remembers which messages were handled, so that none is handled twice. One inbox may
 * serve many consumers, and many processes: keys tell their queues apart.
 */
export interface Inbox {
  /**
   * Whether each `work` holds a transaction while it runs: many at once would wait for each
   * other, so that `runBatches` refuses it. @default {false}
   */
  readonly holdsTransactions?: boolean | undefined;
  /**
   * Calls `work`, unless it was done for this key before. While another does it, this waits,
   * and calls `work` if the other has failed, or is gone.
   *
   * An inbox in a database may call `work` within a transaction of its own: then what that
   * writes there and the mark that it was done are there together, or neither is.
   *
   * @param key Names the message: its queue, a space, and its id or a key.
   * @param work The work to be done; called once at most.
   * @param call How long to wait, and whom to tell.
   * @returns Whether `work` was done now, or before.
   * @throws The error of `work`: then nothing is remembered.
   * @throws Any other error: if `work` was not called, it is asked again a little later.
   */
  handle(
    key: string,
    work: () => Promise<void>,
    call: InboxCall,
  ): Promise<InboxOutcome>;
}

/** The limits of a call of {@linkcode Inbox.handle}. */
export interface InboxCall {
  /** Aborts when nobody waits any more, if `work` was not called by then: `handle` rejects. */
  readonly signal: AbortSignal;
  /** Called with the error of a call that is repeated, such as one that makes a mark. Must not throw. */
  readonly onError: (error: Error) => void;
  /** The message, as its handler is given it. */
  readonly message?: object | undefined;
}

/** Whether a message was handled now, or before. */
export type InboxOutcome = "handled" | "duplicate";
