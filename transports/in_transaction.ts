import { SYSTEM_CLOCK } from "../async/clock.ts";
import { Line } from "../async/line.ts";
import { pause } from "../async/pause.ts";
import { isSqlite } from "../model/ask.ts";
import { OptionError, TimeoutError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import type { SqliteTransaction } from "../model/transaction.ts";
import { type AsyncContext, asyncContext } from "./async_context_client.ts";
import { isBusy } from "./sqlite_codes.ts";

/** Options of {@linkcode inTransaction}. */
export interface InTransactionOptions {
  /** How long another writer may keep the file locked, ms. @default {30000} */
  readonly timeout?: number | undefined;
}

/** Those who want a transaction of one database, one after another. */
const LINES = new WeakMap<object, Line>();

/** A transaction that is under way around a call, and those around it. */
interface Around {
  readonly database: object;
  readonly outer: Around | undefined;
  isOver: boolean;
}

/** Made by the first call. */
let context: AsyncContext<Around> | undefined;

/** The longest pause before a locked file is tried again, ms. */
const MAX_PAUSE = 5;

/**
 * Does something in a transaction of SQLite that writes. Where somebody else writes, be it a
 * connection of this process, it waits for that without blocking the event loop, as a
 * `BEGIN IMMEDIATE` with SQLite's own timeout would: then the connection could never end.
 * Calls for one database take place one after another.
 *
 * @typeParam D The database.
 * @typeParam T The type of the result.
 * @param database A database of one's own.
 * @param work What is done. If it throws, nothing of it is there. It must not call this for the same database, for which it would wait itself.
 * @param options How long to wait.
 * @returns What `work` has returned, when all is on the disk.
 * @throws {OptionError} If it is called within `work` for the same database.
 * @throws {TypeError} If that is no database of SQLite, or `work` no function.
 * @throws {TimeoutError} If the file was locked for all of the time.
 * @throws The error of `work`.
 *
 * @example A row and a message, or neither
 * ```ts ignore needs a file
 * import { DatabaseSync } from "node:sqlite";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { inTransaction } from "@dashi/mq/sqlite";
 *
 * const orders = new Queue("orders");
 * await using connection = createConnection("sqlite:./shop.db");
 * await connection.declare(orders);
 * const database = new DatabaseSync("./shop.db");
 * await inTransaction(database, async (transaction) => {
 *   database.exec("INSERT INTO orders DEFAULT VALUES");
 *   await connection.send(orders, { id: 7 }, { transaction });
 * });
 * ```
 */
export function inTransaction<D extends SqliteTransaction, T>(
  database: D,
  work: (database: D) => Promise<T> | T,
  { timeout = 30_000 }: InTransactionOptions = {},
): Promise<T> {
  const mistake = mistakeIn(database, work);
  if (mistake !== undefined) return Promise.reject(mistake);
  context ??= asyncContext();
  const outer = context?.getStore();
  for (let each = outer; each !== undefined; each = each.outer) {
    if (each.database === database && !each.isOver) {
      return Promise.reject(
        new OptionError(
          "Cannot begin a transaction within another of the same database, which would wait for it without end: write with the database that is given to the outer one",
        ),
      );
    }
  }
  const line = LINES.get(database) ?? new Line();
  LINES.set(database, line);
  return line.enter(async () => {
    const until = performance.now() + timeout;
    for (let tries = 1; !begin(database); tries++) {
      if (performance.now() >= until) {
        throw new TimeoutError(
          "Cannot begin a transaction in time: somebody else keeps the file locked",
          { outcome: "not-sent" },
        );
      }
      await pause(SYSTEM_CLOCK, Math.random() * Math.min(tries, MAX_PAUSE));
    }
    const around: Around = { database, outer, isOver: false };
    try {
      const result = await within(around, () => work(database));
      database.exec("COMMIT");
      return result;
    } catch (error) {
      try {
        database.exec("ROLLBACK");
      } catch {
        // SQLite has done it already.
      }
      throw error;
    } finally {
      around.isOver = true;
    }
  });
}

/** Callers may be of JavaScript. */
function mistakeIn(database: unknown, work: unknown): TypeError | undefined {
  if (!isSqlite(database)) {
    return new TypeError(
      `Cannot begin a transaction in ${
        quote(database)
      }: give a DatabaseSync of node:sqlite, or a Database of bun:sqlite`,
    );
  }
  if (typeof work === "function") return undefined;
  return new TypeError(
    `Cannot do ${
      quote(work)
    } in a transaction: it must be a function that takes the database`,
  );
}

function begin(database: SqliteTransaction): boolean {
  try {
    database.exec("BEGIN IMMEDIATE");
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  }
}

function within<R>(around: Around, call: () => R): R {
  return context === undefined ? call() : context.run(around, call);
}
