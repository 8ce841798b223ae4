import type { NativeClient } from "../transport.ts";

/** `DatabaseSync` of `node:sqlite`, or `Database` of `bun:sqlite`, as far as both do the same. */
export interface SqliteDatabase {
  /** Runs statements without values. */
  exec(sql: string): unknown;
  /** Prepares a statement. */
  prepare(sql: string): SqliteStatement;
}

/** A statement that is prepared. */
export interface SqliteStatement {
  /** Returns all rows. */
  all(...values: SqliteValue[]): unknown[];
  /** Returns the first row. */
  get(...values: SqliteValue[]): unknown;
  /** Changes rows. */
  run(...values: SqliteValue[]): unknown;
}

/** A value of a column. */
export type SqliteValue = string | number | bigint | Uint8Array | null;

/**
 * `DatabaseSync` of `node:sqlite`, on Bun `Database` of `bun:sqlite`: for tables of one's
 * own in the same file.
 *
 * Do not close it, and leave no transaction open: all connections of the process to the
 * file share it. The tables whose names begin with `dashi_` are the library's.
 */
export const nativeClient: NativeClient<SqliteDatabase> = {
  name: "sqlite",
  is: (client): client is SqliteDatabase =>
    client instanceof Object && "prepare" in client && "exec" in client,
};
