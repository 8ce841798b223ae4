import { Batcher } from "../../async/batcher.ts";
import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import { notAnswered } from "../connection_errors.ts";
import type { OutboxRow } from "../outbox.ts";

/** A row that is to be added to an outbox. */
export interface OutboxEntry extends OutboxRow {
  readonly outbox: string;
  readonly writtenAt: number;
}

/** The most rows, and bytes of bodies, of one statement. */
const [COUNT, BYTES] = [500, 8_000_000];

/** What is in a statement is for one outbox. */
const sameOutbox = () => {
  let name: string | undefined;
  return ({ outbox }: OutboxEntry) => outbox === (name ??= outbox);
};

const ACTION = "write a row of an outbox";

/**
 * Brings rows for outboxes together, for each statement in a transaction of the caller's is
 * a round trip: those of one turn of the event loop leave in one, and so do those that come
 * while it is under way.
 */
export class OutboxWriter {
  readonly #limits: Limits;
  readonly #batchers = new WeakMap<
    SqlTransaction,
    Batcher<OutboxEntry, void>
  >();

  /** Makes one for a database. */
  constructor(clock: Clock) {
    this.#limits = new Limits(clock);
  }

  /**
   * Adds a row.
   *
   * @param transaction The transaction.
   * @param entry The row.
   * @param addAll Adds rows in this transaction; the first that is given is used from then on.
   */
  add(
    transaction: SqlTransaction,
    entry: OutboxEntry,
    addAll: (entries: readonly OutboxEntry[]) => Promise<void>,
  ): Promise<void> {
    let batcher = this.#batchers.get(transaction);
    if (batcher === undefined) {
      batcher = new Batcher<OutboxEntry, void>({
        limits: this.#limits,
        count: COUNT,
        bytes: BYTES,
        atOnce: 1,
        joins: sameOutbox,
        bytesOf: ({ body }) => body.length,
        actionOf: () => ACTION,
        late: () => notAnswered(ACTION, "unknown", "the database"),
        send: async (entries) => {
          await addAll(entries);
          return entries.map(() => undefined);
        },
      });
      this.#batchers.set(transaction, batcher);
    }
    return batcher.add(entry);
  }
}
