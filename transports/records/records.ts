import type { CallOptions } from "../../model/call_options.ts";
import type { CloseReason, ServerInfo } from "../transport.ts";

/** A record's fields: what JSON can say. */
export type Fields = Readonly<Record<string, unknown>>;

/** A record as it is in the database. */
export interface Row {
  /** Its name: 1 to 2,400 characters of printable ASCII. */
  readonly id: string;
  /**
   * Another text after each write. It begins with how often the record was written, in
   * decimal digits, since it was made: `1`, then `2`, or `2-` and more. A record that was
   * removed and is made again may begin anew. The database only counts: the library
   * writes so that an odd number is a message that lies ready, and an even one a message
   * that is taken.
   */
  readonly revision: string;
  /** `undefined` where they were not asked for. */
  readonly fields: Fields | undefined;
}

/** A record that is to be written. */
export interface Draft {
  /** Its name. */
  readonly id: string;
  /** The revision that it must have for this; `undefined`: there must be no such record, and `fields` are given. */
  readonly revision: string | undefined;
  /** Its fields from now on; `undefined` removes it. */
  readonly fields: Fields | undefined;
  /** The purpose of this one, for the error of a draft that is refused: follows `Cannot `. */
  readonly action: string;
}

/** The result of one draft. */
export type Written =
  /** The revision from now on; of a removal it is not looked at. */
  | { readonly type: "written"; readonly revision: string }
  /** The record has another revision, or is there already, or not any more: no error, for somebody was faster. */
  | { readonly type: "conflict" }
  /** The database does not accept this one, such as one that is too large; the others were written. */
  | { readonly type: "refused"; readonly error: Error };

/** A range of ids, in the order of their characters' codes. */
export interface Range {
  /** The first id; it may end in a space, where the range begins behind an id. */
  readonly start: string;
  /** The id before which the range ends; it may end in U+007F. */
  readonly end: string;
  /** The maximum number of rows: a whole number. Fewer say that the range ends with them. */
  readonly limit: number;
  /** Whether the fields are wanted; names and revisions always are. */
  readonly withFields: boolean;
}

/** Limits of one call, and its purpose. `write` gets no limits: the library watches them itself. */
export interface RecordsCall extends CallOptions {
  /** The purpose, for the error of a call that fails whole: follows `Cannot `. */
  readonly action: string;
}

/** Called for each record that was written or removed; of a removal the revision is not looked at. Never throws. */
export type OnChange = (
  id: string,
  revision: string,
  isRemoved: boolean,
) => void;

/** The limits of a database. */
export interface RecordsLimits {
  /** The largest record, bytes of its fields in JSON. 0.7375 of it is left for a message's body; a larger one is refused by the library. */
  readonly recordBytes: number;
  /**
   * How long what a connection took stays its own when it is not heard of, ms. It is
   * renewed after a third of that, so a shorter one costs writes. The suite wants what a
   * killed process held within ten seconds: 3000 fits. @default {30000}
   */
  readonly lease?: number | undefined;
  /** The maximum number of records of one `write`. @default {1000} */
  readonly writeCount?: number | undefined;
  /** The maximum number of bytes of one `write` of several records, about: of their ids and texts. @default {8000000} */
  readonly writeBytes?: number | undefined;
  /** The maximum number of calls of `write` under way at once. @default {2} */
  readonly writesAtOnce?: number | undefined;
  /** How often a connection with waiting consumers looks for messages where there is no `watch`, ms: one `list` for each queue. @default {50} */
  readonly poll?: number | undefined;
}

/**
 * The few verbs that a database must have to carry queues: ids in order, and a write
 * that holds only if the record is still what it was.
 *
 * The verbs may be called at the same time. Each rejects with a `MessagingError`, within
 * the call's limits. `outcome` says whether a write that failed may have left:
 * `"not-sent"` where it cannot, as for a lock that was not had. A call without limits ends
 * in bounded time all the same: give it some seconds more than the `operationTimeout` of
 * the connection's options, so that the caller's own time ends first. If the database
 * cannot be used any more `closed` settles as lost, too, and the library opens another.
 *
 * A database that answers in the same turn of the event loop, as SQLite in this process,
 * waits a turn in each verb (a timer of 0 ms, or `setImmediate`): a loop over promises
 * that are always settled leaves timers and sockets no turn.
 */
export interface Records extends AsyncDisposable {
  /** Its limits. */
  readonly limits: RecordsLimits;
  /** Whether what was written outlives a restart of the database, and a loss of power: the capability `persistence`. */
  readonly isPersistent: boolean;
  /** Settles once, when it can no longer be used. Never rejects. */
  readonly closed: Promise<CloseReason>;
  /** The time that all go by who share the database, ms since 1970: its own, or `clock.wall()` of the options of `open`. */
  now(): number;
  /** Lists a range of ids, in their order. */
  list(range: Range, call: RecordsCall): Promise<readonly Row[]>;
  /** Reads records with their fields, in any order; those that are not there are left out. No id is twice among them, nor are there more than some thousands. */
  read(ids: readonly string[], call: RecordsCall): Promise<readonly Row[]>;
  /**
   * Writes each that still has its revision: one result for each draft, in their order. No
   * id is twice among them. They are independent: they need not be written together, nor
   * one before the other. A `list` or `read` that begins when this has resolved sees them.
   */
  write(
    drafts: readonly Draft[],
    call: RecordsCall,
  ): Promise<readonly Written[]>;
  /**
   * Tells of every change from when it resolves, those of this connection too, in any
   * order; returns what ends that. A change that is told twice does no harm. Without it
   * the database is asked every {@linkcode RecordsLimits.poll} ms.
   */
  watch?(onChange: OnChange, call: RecordsCall): Promise<() => void>;
  /**
   * Reads a record unless it still has a revision: then `"same"`. For databases where
   * that is cheaper than to list it and to read it. `undefined`: there is none.
   */
  readUnless?(
    id: string,
    revision: string,
    call: RecordsCall,
  ): Promise<Row | "same" | undefined>;
  /**
   * Says whether a record was removed while it had a revision, and not written in
   * between. For databases that remember what was removed.
   */
  wasRemoved?(
    id: string,
    revision: string,
    call: RecordsCall,
  ): Promise<boolean>;
  /** Asks the server what it is, where there is one. */
  serverInfo?(call: RecordsCall): Promise<ServerInfo>;
  /** The client underneath, for `connection.native`. */
  native?(): unknown;
  /** Ends it at once, without a word to a database that does not answer: what waits rejects. */
  destroy?(): void;
}
