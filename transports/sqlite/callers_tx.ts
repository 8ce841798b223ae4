import { asError, errorText } from "../../model/error_text.ts";
import {
  MessagingError,
  OptionError,
  PreconditionFailedError,
  PublishError,
} from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { isSqlite } from "../../model/ask.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import {
  absolutePath,
  clientOf,
  type Native,
  type SqliteClient,
} from "./client.ts";
import { isBusy } from "../sqlite_codes.ts";

/** A database of the caller's, with the statements of ours that it has prepared. */
const KNOWN = new WeakMap<object, SqliteClient>();

/**
 * Takes a database of the caller's, in which a transaction is open.
 *
 * @param transaction What the caller gave.
 * @param own Our own database of the same file.
 * @param path The file.
 * @returns The client of it.
 * @throws {OptionError} If it is none, or of another file, or in no transaction.
 */
export function callersClient(
  transaction: SqlTransaction,
  own: unknown,
  path: string,
): SqliteClient {
  if (!isSqlite(transaction)) {
    throw new OptionError(
      `Cannot publish by ${
        quote(transaction)
      }: it must be a database of SQLite in a transaction, DatabaseSync of node:sqlite or Database of bun:sqlite`,
    );
  }
  if (transaction === own) {
    throw new OptionError(
      "Cannot publish with a transaction of the connection's own database: open the file once more for yours",
    );
  }
  const client = KNOWN.get(transaction) ?? clientOf(transaction as Native);
  KNOWN.set(transaction, client);
  const file = client.rows("PRAGMA database_list", [])
    .find(({ name }) => name === "main")?.file;
  // One in memory has none.
  if (file === "" || absolutePath(String(file)) !== path) {
    throw new OptionError(
      `Cannot publish with a transaction of the file ${
        quote(file)
      }: the connection's is ${quote(path)}`,
    );
  }
  if (!isInTransaction(transaction)) {
    throw new OptionError(
      'Cannot publish with a database that is in no transaction: begin one by "inTransaction" of "@dashi/mq/sqlite", or BEGIN IMMEDIATE',
    );
  }
  return client;
}

/** Asks SQLite itself: runtimes have different words for it, or none. */
function isInTransaction(database: { exec(sql: string): unknown }): boolean {
  try {
    database.exec("BEGIN");
  } catch (error) {
    if (/within a transaction/.test(asError(error).message)) return true;
    throw error;
  }
  database.exec("ROLLBACK");
  return false;
}

/** Makes the library's error of what the caller's database says. */
export function callersFailure(error: unknown): unknown {
  if (error instanceof MessagingError) return error;
  if (isBusy(error)) {
    return new PreconditionFailedError(
      'Cannot publish with this transaction: another one writes to the file; begin it by "inTransaction" of "@dashi/mq/sqlite", or BEGIN IMMEDIATE, and it is the one that writes',
      { cause: error, outcome: "not-sent" },
    );
  }
  return new PublishError(
    `Cannot publish with this transaction: ${errorText(error)}; roll it back`,
    { code: "publish-refused", cause: error },
  );
}
