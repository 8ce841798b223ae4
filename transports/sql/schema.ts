import { PreconditionFailedError } from "../../model/errors.ts";
import { otherLayout } from "../connection_errors.ts";
import type { Tx } from "./port.ts";

/** The layout of the tables. Another number is another layout, which this version refuses. */
export const LAYOUT = 1;

/** The state of a message that may be delivered. */
export const READY = 0;

/** The state of a message that somebody holds. */
export const HELD = 1;

/** The state of a message whose time has not come: its rank is the moment when it does. */
export const DELAYED = 2;

/** The state of a message in quarantine. */
export const ASIDE = 3;

/** The types that databases have different words for. */
export interface Types {
  /** A whole number of eight bytes. */
  readonly number: string;
  /** Such a number that the database counts up, and that is the key. */
  readonly serial: string;
  readonly bytes: string;
  /** What ends the table of places, whose rows change with each take. */
  readonly moving: string;
}

/**
 * Makes the statements for tables that are not there.
 *
 * | Table | |
 * | --- | --- |
 * | `meta` | a number by chance, which tables that are made anew do not have; the layout; the number of the last change of declarations, and of the last that concerns routes |
 * | `topology` | exchanges, queues, bindings, consumers: a row each, and the change that wrote it; what is gone stays for a while |
 * | `queues` | the number of each queue, and when it goes if nobody uses it |
 * | `messages` | what was published: written once, removed once |
 * | `places` | where a message is: a small row, which is all that changes when it is taken |
 * | `lanes` | the keys of ordered queues: whose turn it is, and whether a message is out |
 * | `sizes` | of queues with a limit of length: how much may be taken, as a row that tells the whole, and rows that tell by how much it changed |
 * | `holders` | who takes messages, and until when what it took is its own |
 * | `owners` | the sessions that are alive |
 * | `outbox`, `relays` | messages to be published elsewhere, and who does that |
 * | `marks`, `starts` | messages that are published once; when handlers began, for rates |
 */
export function statementsOf(
  { number, serial, bytes, moving }: Types,
): readonly string[] {
  const born = Math.floor(Math.random() * 2 ** 48);
  return [
    `CREATE TABLE IF NOT EXISTS dashi.meta (
      one ${number} PRIMARY KEY, layout ${number} NOT NULL,
      changes ${number} NOT NULL, routes ${number} NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS dashi.topology (
      id TEXT PRIMARY KEY, at ${number} NOT NULL, gone ${number},
      fields TEXT NOT NULL)`,
    `CREATE INDEX IF NOT EXISTS dashi_topology_at ON dashi.topology (at)`,
    `CREATE TABLE IF NOT EXISTS dashi.queues (
      id ${serial}, name TEXT NOT NULL UNIQUE, used_at ${number} NOT NULL,
      expires ${number})`,
    `CREATE TABLE IF NOT EXISTS dashi.messages (
      id ${serial}, head TEXT NOT NULL, body ${bytes} NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS dashi.places (
      state ${number} NOT NULL, queue ${number} NOT NULL,
      rank ${number} NOT NULL, id ${number} NOT NULL,
      home ${number} NOT NULL, holder ${number}, key TEXT, message_id TEXT,
      expires_at ${number}, deliveries ${number} NOT NULL,
      put_at ${number} NOT NULL, size ${number} NOT NULL,
      PRIMARY KEY (state, queue, rank, id)) ${moving}`,
    `CREATE INDEX IF NOT EXISTS dashi_places_expire ON dashi.places (expires_at)
      WHERE expires_at IS NOT NULL AND holder IS NULL`,
    `CREATE INDEX IF NOT EXISTS dashi_places_named ON dashi.places (queue, message_id)
      WHERE message_id IS NOT NULL`,
    `CREATE TABLE IF NOT EXISTS dashi.lanes (
      id ${serial}, queue ${number} NOT NULL, key TEXT NOT NULL,
      turn ${number} NOT NULL, busy ${number} NOT NULL, UNIQUE (queue, key))`,
    `CREATE INDEX IF NOT EXISTS dashi_lanes_turn ON dashi.lanes (queue, turn)`,
    `CREATE TABLE IF NOT EXISTS dashi.sizes (
      id ${serial}, queue ${number} NOT NULL, whole ${number} NOT NULL,
      messages ${number}, bytes ${number})`,
    `CREATE INDEX IF NOT EXISTS dashi_sizes_of ON dashi.sizes (queue)`,
    `CREATE TABLE IF NOT EXISTS dashi.holders (
      id ${serial}, owner TEXT NOT NULL, until ${number} NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS dashi.owners (
      owner TEXT PRIMARY KEY, until ${number} NOT NULL, dead ${number} NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS dashi.marks (
      key TEXT PRIMARY KEY, token TEXT NOT NULL, until ${number} NOT NULL)`,
    `CREATE INDEX IF NOT EXISTS dashi_marks_until ON dashi.marks (until)`,
    `CREATE TABLE IF NOT EXISTS dashi.starts (
      id ${serial}, name TEXT NOT NULL, at ${number} NOT NULL,
      until ${number} NOT NULL)`,
    `CREATE INDEX IF NOT EXISTS dashi_starts_name ON dashi.starts (name, at)`,
    `CREATE TABLE IF NOT EXISTS dashi.relays (
      outbox TEXT PRIMARY KEY, name TEXT NOT NULL, until ${number} NOT NULL)`,
    `CREATE TABLE IF NOT EXISTS dashi.outbox (
      id ${serial}, outbox TEXT NOT NULL, message_id TEXT NOT NULL,
      head TEXT NOT NULL, body ${bytes} NOT NULL, written_at ${number} NOT NULL)`,
    `CREATE INDEX IF NOT EXISTS dashi_outbox_in ON dashi.outbox (outbox, id)`,
    // Who knows tables of another number knows other numbers of queues.
    `INSERT INTO dashi.meta (one, layout, changes, routes)
      SELECT ${born}, ${LAYOUT}, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM dashi.meta)`,
  ];
}

/** The tables, by their names in SQL, with the names of their columns. One more of either is another layout. */
export function tablesOf(types: Types): ReadonlyMap<string, readonly string[]> {
  return new Map(
    statementsOf(types).flatMap((each) => {
      const [, table, columns] =
        /^CREATE TABLE IF NOT EXISTS (\S+) \(([^]*)\)/.exec(each) ?? [];
      if (table === undefined || columns === undefined) return [];
      // Constraints begin with a word of SQL, in capitals.
      const names = columns.split(",").flatMap((column) =>
        /^\s*([a-z_]+)/.exec(column)?.[1] ?? []
      );
      return [[table, [...new Set(names)]] as const];
    }),
  );
}

/** What is missing in a database, by the names that it has for it. */
export interface Missing {
  readonly tables: readonly string[];
  /** Of tables that are there; each behind its table's name and a dot. */
  readonly columns: readonly string[];
}

/**
 * Refuses what is left where some of the tables were dropped: to make these anew, and empty,
 * would give numbers a second time that the others know, and lose in silence what was in them.
 * Columns that were dropped or renamed have nothing that could be made up.
 *
 * @param missing What is missing, which is something.
 * @returns The error.
 */
export function partsMissing(
  { tables, columns }: Missing,
): PreconditionFailedError {
  const parts = [
    ...tables.length === 0 ? [] : [named("table", tables)],
    ...columns.length === 0 ? [] : [named("column", columns)],
  ];
  const them = tables.length + columns.length === 1 ? "it" : "them";
  const how = columns.length === 0
    ? "as from a backup"
    : "from a backup, or by the old name";
  return new PreconditionFailedError(
    `Cannot use the database: ${
      parts.join(", and ")
    }, and others of the library are there; put ${them} back, ${how}, or drop the library's other tables too, and all are made anew`,
    { outcome: "not-sent" },
  );
}

function named(what: string, names: readonly string[]): string {
  const are = names.length === 1 ? `${what} is` : `${what}s are`;
  return `the ${are} missing: ${names.join(", ")}`;
}

/**
 * Refuses tables of another layout.
 *
 * @param tx A transaction.
 * @throws {PreconditionFailedError} If they have one.
 */
export async function checkLayout(tx: Tx): Promise<void> {
  const [meta] = await tx.rows("SELECT layout FROM dashi.meta");
  if (meta?.layout !== LAYOUT) {
    throw otherLayout("its tables", meta?.layout, LAYOUT);
  }
}
