import { OptionError } from "./errors.ts";
import { quote } from "./foreign_text.ts";
import type {
  QueryTransaction,
  SqliteTransaction,
  UnsafeTransaction,
} from "./transaction.ts";

/** A row as a client of the caller's reads it. */
export type ForeignRow = Readonly<Record<string, unknown>>;

/** Runs a statement in a transaction of PostgreSQL. */
export type Ask = (
  text: string,
  values: string[],
) => Promise<readonly ForeignRow[]>;

/** The last statement for each client, which fails for nobody: pg does one at a time, and will refuse a second. */
const LAST = new WeakMap<object, Promise<unknown>>();

/**
 * Says how statements are run in a transaction of PostgreSQL: one after another, whoever of
 * the library asks.
 *
 * @param transaction What the caller gave.
 * @param action What it is for: follows `Cannot `.
 * @returns How.
 * @throws {OptionError} If it is none.
 */
export function askOf(transaction: unknown, action: string): Ask {
  const run = runnerOf(transaction);
  if (run === undefined) {
    throw new OptionError(
      `Cannot ${action} by ${
        quote(transaction)
      }: it must be a client of pg that is in a transaction, the "sql" of a transaction of postgres.js, or { query(text, values) } that runs a statement in one`,
    );
  }
  const client = Object(transaction);
  return async (text, values) => {
    const before = LAST.get(client) ?? Promise.resolve();
    const answering = before.then(() => run(text, values));
    LAST.set(client, answering.catch(() => {}));
    const answer = await answering;
    const rows: unknown = Array.isArray(answer)
      ? answer
      : (answer as { readonly rows?: unknown } | undefined)?.rows;
    if (Array.isArray(rows)) return rows as readonly ForeignRow[];
    throw new OptionError(
      `Cannot ${action} by a "query" that returns ${
        quote(answer)
      }: it must return the rows, or an object that has them as "rows"`,
    );
  };
}

function runnerOf(
  transaction: unknown,
): QueryTransaction["query"] | undefined {
  const { query, unsafe } = Object(transaction) as Partial<
    QueryTransaction & UnsafeTransaction
  >;
  // The "sql" of postgres.js has no "query"; what has both is somebody's own.
  if (typeof query === "function") return query.bind(transaction);
  if (typeof unsafe === "function") return unsafe.bind(transaction);
  return undefined;
}

/**
 * Says whether something is a database of SQLite.
 *
 * @param transaction What the caller gave.
 * @returns Whether it is one.
 */
export function isSqlite(
  transaction: unknown,
): transaction is SqliteTransaction {
  const { exec, prepare } = Object(transaction) as Partial<SqliteTransaction>;
  return typeof exec === "function" && typeof prepare === "function";
}

/** What a statement of `node:sqlite` has besides. */
interface ReadingStatement {
  setReturnArrays?(are: boolean): void;
  setReadBigInts?(are: boolean): void;
}

/**
 * Prepares a statement of ours in a database of SQLite: its rows are objects and its numbers
 * are numbers, whatever those of the database's owner are.
 *
 * @typeParam S The type of the statement.
 * @param database The database.
 * @param sql The statement.
 * @returns It, prepared.
 */
export function prepareIn<S extends object>(
  database: { prepare(sql: string): S },
  sql: string,
): S {
  const statement = database.prepare(sql);
  const reading: ReadingStatement = statement;
  reading.setReturnArrays?.(false);
  reading.setReadBigInts?.(false);
  return statement;
}
