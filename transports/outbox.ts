import type { CallOptions } from "../model/call_options.ts";
import type { SqlTransaction } from "../model/transaction.ts";

/** A message of an outbox, as its database keeps it. */
export interface OutboxRow {
  /** The message's id. */
  readonly messageId: string;
  /** All of it but its body. */
  readonly head: string;
  /** Its body. */
  readonly body: Uint8Array;
}

/** A row that was written, by its number: those of one transaction count up. */
export interface NumberedOutboxRow extends OutboxRow {
  /** Its number. */
  readonly id: number;
}

/** The process that publishes the rows of an outbox, of which there is one at a time. */
export interface OutboxRelay {
  /** Its name, which no other has. */
  readonly name: string;
  /** How long it is the relay without being heard of, ms. */
  readonly lease: number;
}

/** How much is in an outbox. */
export interface OutboxStatus {
  /** How many rows are not published. */
  readonly count: number;
  /** The age of the oldest of them, seconds; `undefined` if there is none. */
  readonly oldestAge: number | undefined;
}

/** Rows that are written in transactions of the caller's, to be published elsewhere. */
export interface OutboxRows {
  /** Writes a row. */
  add(
    outbox: string,
    row: OutboxRow,
    transaction: SqlTransaction,
  ): Promise<void>;
  /**
   * Becomes the relay, or stays it; removes rows that are published, and reads the first of
   * the others, in the order of their numbers.
   *
   * @returns The rows; `undefined` if another is the relay.
   */
  next(
    outbox: string,
    relay: OutboxRelay,
    published: readonly number[],
    limit: number,
    options?: CallOptions,
  ): Promise<readonly NumberedOutboxRow[] | undefined>;
  /** Is the relay no more; removes rows that are published. */
  leave(
    outbox: string,
    relay: OutboxRelay,
    published: readonly number[],
    options?: CallOptions,
  ): Promise<void>;
  /** Counts the rows. */
  status(outbox: string, options?: CallOptions): Promise<OutboxStatus>;
  /**
   * Calls back when there may be more.
   *
   * @param onNews Must not throw.
   * @returns A function that ends it.
   */
  listen(onNews: () => void): () => void;
}
