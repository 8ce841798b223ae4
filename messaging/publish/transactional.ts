import { ConnectionError, OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Entity } from "../entities/entities.ts";
import { Queue } from "../entities/queue.ts";
import type { Session } from "../connection/session.ts";
import type { PublishOptions } from "./producer_options.ts";

/**
 * Refuses what is no transaction, and one beside which the connection would have to be made:
 * that writes to the database, where the transaction may be in its way.
 *
 * @param transaction What the caller gave.
 * @param session The session of the connection to the database.
 * @throws {OptionError} If it is none, or the connection was never made.
 * @throws {ConnectionError} If the connection is lost, and not made again yet.
 */
export function checkTransaction(
  transaction: unknown,
  { open, connectedAt, ended }: Pick<
    Session,
    "open" | "connectedAt" | "ended"
  >,
): void {
  if (Object(transaction) !== transaction) {
    throw new OptionError(
      `Cannot use ${
        quote(transaction)
      } as the "transaction" of publish: it must be the client of a transaction that is open`,
    );
  }
  if (open !== undefined || ended) return;
  if (connectedAt === undefined) {
    throw new OptionError(
      'Cannot publish with a transaction before the connection to its database is made: call "connection.connect" when the program starts',
    );
  }
  throw new ConnectionError(
    "Cannot publish with a transaction while the connection to its database is lost, for the transaction may be in its way: roll back, and try again",
    { code: "connection-lost", outcome: "not-sent" },
  );
}

/**
 * Refuses what cannot go with a transaction.
 *
 * @param options The options of a publish that has one.
 * @throws {OptionError} If there is something.
 */
export function refuseBeside({ dedupe, retry }: PublishOptions): void {
  if (dedupe !== undefined) {
    throw new OptionError(
      'Cannot publish with "dedupe" and "transaction": others would wait for the mark until the transaction ends; keep what was done in a table of your own, in the same transaction',
    );
  }
  if (retry === true) {
    throw new OptionError(
      'Cannot publish with "retry" and "transaction": what fails in a transaction is repeated with all of it',
    );
  }
}

/** Makes the error of a message whose queue or exchange is not declared yet. */
export function notDeclared(entity: Entity): OptionError {
  const kind = entity instanceof Queue ? "queue" : "exchange";
  return new OptionError(
    `Cannot publish to ${kind} ${
      quote(entity.name)
    } with a transaction before it is declared: call "connection.declare" when the program starts`,
  );
}
