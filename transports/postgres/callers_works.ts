import { Batcher } from "../../async/batcher.ts";
import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import { type Ask, askOf } from "../../model/ask.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import { notAnswered } from "../connection_errors.ts";
import type { CallersTx, Row } from "../sql/port.ts";
import { type Home, PostgresCallersTx } from "./callers_tx.ts";

/** Something that is done in a transaction; it may be done again from its beginning. */
type Work<T = unknown> = (tx: CallersTx) => Promise<T>;

/** So much may be done by one statement. */
const COUNT = 500;

const ACTION = "write in a transaction";

/**
 * Does in transactions of the callers' what the library has to do there: by one statement at
 * a time, for a client has no room for two, and what is asked in one turn of the event loop,
 * or while another is under way, by one together, for each is a round trip.
 */
export class CallersWorks {
  readonly #limits: Limits;
  readonly #batchers = new WeakMap<SqlTransaction, Batcher<Work, unknown>>();

  /** Makes one for a database. */
  constructor(clock: Clock) {
    this.#limits = new Limits(clock);
  }

  /**
   * Does something, behind what was asked before.
   *
   * @typeParam T The type of its result.
   * @param transaction The transaction.
   * @param home The database.
   * @param work What is done.
   * @returns What it has returned, when all of it is written.
   * @throws {OptionError} If that is no transaction of this database.
   */
  async do<T>(
    transaction: SqlTransaction,
    home: Home,
    work: Work<T>,
  ): Promise<T> {
    const ask = askOf(transaction, "publish");
    let batcher = this.#batchers.get(transaction);
    if (batcher === undefined) {
      batcher = new Batcher<Work, unknown>({
        limits: this.#limits,
        count: COUNT,
        atOnce: 1,
        actionOf: () => ACTION,
        late: () => notAnswered(ACTION, "unknown", "the database"),
        send: (works) => doAll(ask, home, works),
      });
      this.#batchers.set(transaction, batcher);
    }
    return await batcher.add(work) as T;
  }
}

async function doAll(
  ask: Ask,
  home: Home,
  works: readonly Work[],
): Promise<readonly Promise<unknown>[]> {
  let known: Row | undefined;
  do {
    const tx = new PostgresCallersTx(ask, home, known);
    const outcomes: Promise<unknown>[] = [];
    try {
      for (const work of works) {
        const outcome = work(tx);
        outcomes.push(outcome);
        await outcome.catch(() => {});
        // After a statement that fails no other is done.
        if (tx.failure !== undefined) throw tx.failure;
      }
      known = await tx.flush();
      if (known === undefined) return outcomes;
    } catch (error) {
      for (const undo of tx.onFailed) undo();
      throw error;
    }
    for (const undo of tx.onFailed) undo();
  } while (true);
}
