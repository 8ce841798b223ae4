import {
  askOf,
  type ForeignRow,
  isSqlite,
  prepareIn,
} from "../../model/ask.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type {
  QueryTransaction,
  SqliteTransaction,
  UnsafeTransaction,
} from "../../model/transaction.ts";
import { inTransaction } from "../../transports/in_transaction.ts";

/** `Pool` of pg, as far as it is needed. @typeParam T Its client. */
export interface PgPool<T> {
  /** Lends a client. */
  connect(): Promise<T & PgPoolClient>;
}

/** A client of such a pool. */
export interface PgPoolClient extends QueryTransaction {
  /** Gives it back; with an error it is closed. */
  release(error?: Error | boolean): void;
  /** Hears of a connection that is lost between two statements. */
  on?(event: "error", listener: (error: Error) => void): unknown;
  /** Hears no more. */
  off?(event: "error", listener: (error: Error) => void): unknown;
}

/** The `sql` of postgres.js, as far as it is needed. @typeParam T The `sql` of a transaction. */
export interface PostgresJs<T> {
  /** Does something in a transaction. */
  begin(work: (transaction: T) => Promise<unknown>): Promise<unknown>;
  /** Tells it from others. */
  unsafe: UnsafeTransaction["unsafe"];
}

/** How a client begins a transaction, and runs a statement in it. @typeParam T Its transaction. */
export interface Begins<T> {
  /** Does something in a transaction: commits when it returns, rolls back when it throws, and throws that. */
  begin(work: (transaction: T) => Promise<unknown>): Promise<unknown>;
  /**
   * Runs a statement in it.
   *
   * @returns The rows, or an object that has them as `rows`.
   */
  query(
    transaction: T,
    text: string,
    values: string[],
  ): PromiseLike<unknown>;
}

/** The same, with rows as they are read. */
export interface Transactions extends Begins<unknown> {
  query(
    transaction: unknown,
    text: string,
    values: string[],
  ): Promise<readonly ForeignRow[]>;
}

const ACTION = "make a mark";

/**
 * Says how transactions of a database are made.
 *
 * @param database What the caller gave.
 * @returns How.
 * @throws {OptionError} If it is none.
 */
export function transactionsOf(database: unknown): Transactions {
  if (isSqlite(database)) return ofSqlite(database);
  const { begin, query, unsafe, connect } = Object(database) as Partial<
    & Record<"query" | "unsafe" | "connect", unknown>
    & Pick<Begins<unknown>, "begin">
  >;
  if (typeof begin === "function") {
    const own = database as Begins<unknown>;
    const beginOwn = (work: Parameters<typeof begin>[0]) =>
      begin.call(database, work);
    if (typeof query === "function") {
      return {
        begin: beginOwn,
        query: (transaction, text, values) =>
          askOf({
            query: (text: string, values: string[]) =>
              own.query(transaction, text, values),
          }, ACTION)(text, values),
      };
    }
    if (typeof unsafe === "function") return { begin: beginOwn, query: ask };
  }
  if (typeof connect === "function") return ofPool(database as PgPool<unknown>);
  throw new OptionError(
    `Cannot make an inbox of ${
      quote(database)
    }: give a Pool of pg, the "sql" of postgres.js, a database of SQLite, or { begin(work), query(transaction, text, values) }`,
  );
}

function ask(
  transaction: unknown,
  text: string,
  values: string[],
): Promise<readonly ForeignRow[]> {
  return askOf(transaction, ACTION)(text, values);
}

function ofSqlite(database: SqliteTransaction): Transactions {
  return {
    begin: (work) => inTransaction(database, work),
    query: (_, text, values) => {
      const own = text.replaceAll(/\$\d+/g, "?");
      const statement = prepareIn(database, own);
      return Promise.resolve(
        statement.all(...values) as readonly ForeignRow[],
      );
    },
  };
}

function ofPool(pool: PgPool<unknown>): Transactions {
  return {
    query: ask,
    async begin(work) {
      const client = await pool.connect() as PgPoolClient;
      let failure: Error | undefined;
      // A pool listens to those that it has not lent, and an error that nobody hears ends the
      // process. The next statement fails of it, too.
      const onLost = (lost: Error) => {
        failure = lost;
      };
      client.on?.("error", onLost);
      try {
        await ask(client, "BEGIN", []);
        const result = await work(client);
        await ask(client, "COMMIT", []);
        return result;
      } catch (error) {
        // One that cannot roll back is in no state to be lent again.
        await ask(client, "ROLLBACK", []).catch((lost) => failure = lost);
        throw error;
      } finally {
        client.release(failure);
        client.off?.("error", onLost);
      }
    },
  };
}
