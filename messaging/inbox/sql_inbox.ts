/**
 * An inbox in the database of the handler: its marks are made in the transaction in which
 * the handler writes. Effect and mark commit together, so that a message is handled exactly
 * once there, whoever is killed when.
 *
 * It needs no broker of SQL: messages may come from any.
 *
 * @example A worker that counts each order once
 * ```ts ignore needs PostgreSQL and RabbitMQ
 * import pg from "pg";
 * import { createConnection } from "@dashi/mq";
 * import { createSqlInbox } from "@dashi/mq/inbox_sql";
 *
 * const connection = createConnection("amqp://localhost");
 * const inbox = createSqlInbox(new pg.Pool(), { window: 86_400_000 });
 * await connection.consumer("orders").run(async (message) => {
 *   const client = inbox.transactionOf(message);
 *   await client.query("UPDATE sales SET count = count + 1");
 * }, { inbox });
 * ```
 *
 * @module
 */

import { type Clock, SYSTEM_CLOCK } from "../../async/clock.ts";
import { encodeHex, sha256 } from "../../codec/digest.ts";
import { asError } from "../../model/error_text.ts";
import { OptionError, PreconditionFailedError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkInterval } from "../operation_options.ts";
import type { Inbox, InboxCall, InboxOutcome } from "./inbox.ts";
import type { InboxOptions } from "./leased_inbox.ts";
import {
  type Begins,
  type PgPool,
  type PostgresJs,
  type Transactions,
  transactionsOf,
} from "./sql_transactions.ts";
import type { SqliteTransaction } from "../../model/transaction.ts";

export type {
  QueryTransaction,
  SqliteTransaction,
  UnsafeTransaction,
} from "../../model/transaction.ts";
export type { Clock } from "../../async/clock.ts";
export type { Inbox, InboxCall, InboxOutcome } from "./inbox.ts";
export type { InboxOptions } from "./leased_inbox.ts";
export type {
  Begins,
  PgPool,
  PgPoolClient,
  PostgresJs,
} from "./sql_transactions.ts";

/** Options of {@linkcode createSqlInbox}. */
export interface SqlInboxOptions extends InboxOptions {
  /** The table of the marks, which is made if it is not there: letters in lower case, digits and underscores, with a schema and a dot before it or without. @default {"dashi_inbox"} */
  readonly table?: string | undefined;
}

const SQL_INBOX: KnownOptions = optionsOf<SqlInboxOptions>("createSqlInbox", {
  window: true,
  table: "string",
}, { ttl: '"window"' });

/** The most characters of a mark, of three bytes each: a row of PostgreSQL's index has 2,704 bytes. */
const LONGEST = 800;

/** The beginning of a longer one that is kept, for people who look into the table. */
const KEPT = 700;

/** Makes of a key the text of its mark: PostgreSQL's have no NUL, and a long one is told by its digest. */
async function markOf(key: string): Promise<string> {
  const text = key.replaceAll("\0", "\\0");
  if (text.length <= LONGEST) return text;
  const digest = encodeHex(await sha256(text));
  return `${text.slice(0, KEPT)} sha256:${digest}`;
}

/** Marks whose window is over are removed so often, ms. */
const SWEEP = 60_000;

/**
 * An inbox in a database of SQL.
 *
 * @typeParam T What a transaction is for the handler.
 */
export interface SqlInbox<T> extends Inbox {
  /**
   * Returns the transaction of a message whose handler is at work: what that does in it is
   * there if the handler returns, and is gone if it throws or puts the message back.
   *
   * @throws {OptionError} If the inbox has no transaction for it: it is not the inbox of this run, or the handler has ended.
   */
  transactionOf(message: object): T;
}

/** The databases that an inbox is made in. @typeParam T What a transaction is for the handler. */
export type SqlDatabase<T> =
  | (T & SqliteTransaction)
  | PgPool<T>
  | PostgresJs<T>
  | Begins<T>;

/**
 * Makes an inbox in the database that handlers write to.
 *
 * @typeParam T What a transaction is for the handler.
 * @param database A pool of pg; the `sql` of postgres.js; a database of SQLite, whose handlers are called one after another; or how another client begins a transaction and runs a statement in it.
 * @param options How long to remember, ms, and the table.
 * @returns The inbox, for `run(handler, { inbox })`.
 * @throws {OptionError} If an option is unknown or bad, or it is no database.
 * @throws {RangeError} If the window is no number above 0, or more than ten years.
 *
 * @example Effect and mark in one transaction
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatabaseSync } from "node:sqlite";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { createSqlInbox } from "@dashi/mq/inbox_sql";
 *
 * await using connection = createConnection("memory://inbox_sql");
 * const orders = new Queue<string>("orders");
 * for (const messageId of ["7", "7", "8"]) {
 *   await connection.send(orders, messageId, { messageId });
 * }
 * const shop = new DatabaseSync(":memory:");
 * shop.exec("CREATE TABLE sales (id TEXT)");
 *
 * const inbox = createSqlInbox(shop, { window: 3_600_000 });
 * const consumer = connection.consumer(orders);
 * await consumer.run((message) => {
 *   const { payload } = message;
 *   inbox.transactionOf(message).exec(`INSERT INTO sales VALUES ('${payload}')`);
 *   if (payload === "8") void consumer.cancel();
 * }, { inbox });
 * assertEquals(shop.prepare("SELECT id FROM sales").all().length, 2);
 * shop.close();
 * ```
 */
export function createSqlInbox<T>(
  database: SqlDatabase<T>,
  options: SqlInboxOptions,
  clock: Clock = SYSTEM_CLOCK,
): SqlInbox<T> {
  checkKnown(options, SQL_INBOX);
  const { window, table = "dashi_inbox" } = options ?? {};
  checkInterval("window", window);
  if (!/^([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*$/.test(table)) {
    throw new OptionError(
      `Cannot use ${
        quote(table)
      } as the "table" of an inbox: it must be letters in lower case, digits and underscores, such as "dashi_inbox" or "shop.inbox"`,
    );
  }
  const inbox = new MarkingInbox(
    transactionsOf(database),
    { window, table },
    clock,
  );
  return inbox as SqlInbox<unknown> as SqlInbox<T>; // it hands out what it is given
}

/** Makes its marks in the transactions of the handlers. */
class MarkingInbox implements SqlInbox<unknown> {
  readonly holdsTransactions = true;
  readonly #database: Transactions;
  readonly #options: { readonly window: number; readonly table: string };
  readonly #clock: Clock;
  readonly #transactions = new WeakMap<object, unknown>();
  #making: Promise<void> | undefined;
  #sweptAt = -Infinity;

  constructor(
    database: Transactions,
    options: { readonly window: number; readonly table: string },
    clock: Clock,
  ) {
    this.#database = database;
    this.#options = options;
    this.#clock = clock;
  }

  transactionOf(message: object): unknown {
    const transaction = this.#transactions.get(message);
    if (transaction !== undefined) return transaction;
    throw new OptionError(
      'Cannot find the transaction of this message: give the inbox to "run" as its "inbox", and ask while the handler is at work',
    );
  }

  async handle(
    key: string,
    work: () => Promise<void>,
    { signal, onError, message = {} }: InboxCall,
  ): Promise<InboxOutcome> {
    await this.#make();
    await this.#sweep(onError);
    const mark = await markOf(key);
    signal.throwIfAborted();
    let outcome: InboxOutcome = "duplicate";
    await this.#database.begin(async (transaction) => {
      const until = String(
        Math.ceil(this.#clock.wall() + this.#options.window),
      );
      if (!await this.#mark(transaction, mark, until)) return;
      this.#transactions.set(message, transaction);
      try {
        await work();
        await this.#check(transaction, mark, until);
        outcome = "handled";
      } finally {
        this.#transactions.delete(message);
      }
    });
    return outcome;
  }

  /** One that another transaction has made, and not committed, is waited for. */
  async #mark(
    transaction: unknown,
    mark: string,
    until: string,
  ): Promise<boolean> {
    const { table } = this.#options;
    try {
      const rows = await this.#database.query(
        transaction,
        `INSERT INTO ${table} (key, until)
          VALUES (CAST($1 AS TEXT), CAST(CAST($2 AS TEXT) AS BIGINT))
          ON CONFLICT (key) DO UPDATE SET until = excluded.until
            WHERE ${table}.until <= CAST(CAST($3 AS TEXT) AS BIGINT)
          RETURNING key`,
        [mark, until, String(this.#clock.wall())],
      );
      return rows.length > 0;
    } catch (error) {
      this.#making = undefined; // somebody may have dropped it
      throw error;
    }
  }

  /**
   * Sees that the mark would commit: after a statement that fails PostgreSQL rolls back at
   * the COMMIT, and most clients call that a success.
   */
  async #check(
    transaction: unknown,
    mark: string,
    until: string,
  ): Promise<void> {
    let cause: unknown;
    try {
      const rows = await this.#database.query(
        transaction,
        `SELECT key FROM ${this.#options.table}
          WHERE key = CAST($1 AS TEXT)
            AND until = CAST(CAST($2 AS TEXT) AS BIGINT)`,
        [mark, until],
      );
      if (rows.length > 0) return;
    } catch (error) {
      cause = error;
    }
    throw new PreconditionFailedError(
      "Cannot commit what the handler did: its transaction is over, for a statement in it failed, or ended it; throw such an error, or run that statement in a savepoint",
      { cause, outcome: "not-sent" },
    );
  }

  async #make(): Promise<void> {
    this.#making ??= this.#makeTable();
    try {
      await this.#making;
    } catch (error) {
      this.#making = undefined;
      throw error;
    }
  }

  async #makeTable(): Promise<void> {
    const { table } = this.#options;
    const run = (text: string) =>
      this.#database.begin((transaction) =>
        this.#database.query(transaction, text, [])
      );
    try {
      await run(`SELECT key, until FROM ${table} LIMIT 1`);
    } catch {
      await run(
        `CREATE TABLE IF NOT EXISTS ${table} (
          key TEXT PRIMARY KEY, until BIGINT NOT NULL)`,
      );
    }
  }

  /** What cannot be removed now can be later. */
  async #sweep(onError: (error: Error) => void): Promise<void> {
    const now = this.#clock.wall();
    if (now - this.#sweptAt < SWEEP) return;
    this.#sweptAt = now;
    try {
      await this.#database.begin((transaction) =>
        this.#database.query(
          transaction,
          `DELETE FROM ${this.#options.table}
            WHERE until <= CAST(CAST($1 AS TEXT) AS BIGINT)`,
          [String(now)],
        )
      );
    } catch (error) {
      onError(asError(error));
    }
  }
}
