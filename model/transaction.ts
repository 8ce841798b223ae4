/**
 * A transaction of PostgreSQL, by its client: `Client` and `PoolClient` of pg, or whatever
 * runs a statement in it.
 */
export interface QueryTransaction {
  /**
   * Runs a statement. The library asks for one at a time, and for the next when that is
   * answered.
   *
   * @param text The statement, with `$1`, `$2`, … once each and in this order.
   * @param values Their values: texts alone.
   * @returns The rows, or an object that has them as `rows`.
   */
  query(text: string, values: string[]): PromiseLike<unknown>;
}

/** A transaction of PostgreSQL, as postgres.js has it: the `sql` that `sql.begin` gives. */
export interface UnsafeTransaction {
  /** Runs a statement; resolves to the rows. */
  unsafe(text: string, values: string[]): PromiseLike<unknown>;
}

/** A database of SQLite in which a transaction is open: `DatabaseSync` of `node:sqlite`, `Database` of `bun:sqlite`. */
export interface SqliteTransaction {
  /** Runs statements without values. */
  exec(sql: string): unknown;
  /** Prepares a statement. */
  prepare(sql: string): {
    /** Returns all rows. */
    all(...values: (string | number | Uint8Array | null)[]): unknown;
    /** Changes rows. */
    run(...values: (string | number | Uint8Array | null)[]): unknown;
  };
}

/** A transaction of the caller's that is open. */
export type SqlTransaction =
  | QueryTransaction
  | UnsafeTransaction
  | SqliteTransaction;
