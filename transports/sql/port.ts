import type { SqlTransaction } from "../../model/transaction.ts";
import type { OutboxRow } from "../outbox.ts";
import type { Peer } from "../peer.ts";
import type { ServerInfo } from "../server_info.ts";

/** A value of a column. */
export type Value = string | number | Uint8Array | null;

/** A row by the names of its columns. */
export type Row = Readonly<Record<string, Value>>;

/** Where a message lies. Ready ones of a queue are taken in the order of `rank` and `id`. */
export interface Place {
  readonly queue: number;
  /** Of a ready message: the negative priority, or the number of its lane. */
  readonly rank: number;
  readonly id: number;
}

/** A message that is to be put. */
export interface Draft {
  readonly state: number;
  readonly queue: number;
  readonly rank: number;
  /** The rank that it has, or will have, when it is ready. */
  readonly home: number;
  /** Of an ordered queue, where it waits for its time: its lane is found then. */
  readonly key: string | null;
  /** By which one that waits for its time is found. */
  readonly messageId: string | null;
  readonly expiresAt: number | null;
  readonly deliveries: number;
  readonly putAt: number;
  /** Bytes of the body. */
  readonly size: number;
  /** All of the message but its body. */
  readonly head: string;
  readonly body: Uint8Array;
}

/** The messages of one queue that are wanted. */
export interface Claim {
  readonly queue: number;
  readonly limit: number;
  /** Those that have expired by then are left. */
  readonly now: number;
  /** The number of the one who takes them. */
  readonly holder: number;
  /** Whether all that are ready have the same rank. */
  readonly isFlat: boolean;
}

/** How many messages of a queue may be taken, and the bytes of their bodies. */
export interface Size {
  readonly count: number;
  readonly bytes: number;
}

/** What a transaction knows of the size of a queue. */
export interface SizeNote {
  /** As it was read; `undefined`: it was not. */
  read: Size | undefined;
  /** By so much it has grown since, which is not written yet. */
  count: number;
  bytes: number;
}

/** What a take has found. */
export interface Claimed {
  readonly rows: readonly Row[];
  /** What is to be done besides: a sum of the numbers of `todo.ts`. */
  readonly todo: number;
}

/**
 * A transaction. Statements are written once for all databases: `dashi.` before the name
 * of a table, `?` for a value, and `FOR NOBODY ELSE` behind rows that are read to be
 * changed, without those that another transaction has. The verbs are what each database has
 * a quickest way for.
 */
export interface Tx {
  /** The queues that have something new, by their numbers; told when the transaction is over. */
  readonly news: Set<number>;
  /** The first moment at which time alone brings something, as far as this transaction knows; ms since 1970. */
  soonest: number;
  /** By the number of a queue; written when the transaction ends, for queues that have a limit. */
  readonly sizes: Map<number, SizeNote>;
  /** Called where the transaction fails. */
  readonly onFailed: (() => void)[];
  /** Reads rows. */
  rows(sql: string, ...values: readonly Value[]): Promise<readonly Row[]>;
  /** Changes rows; returns how many. */
  run(sql: string, ...values: readonly Value[]): Promise<number>;
  /** Waits until no other transaction has the same lock, and holds it until this one is over. */
  lock(name: string): Promise<void>;
  /** Adds messages, in this order. */
  append(drafts: readonly Draft[]): Promise<void>;
  /** Reads the row of `meta`. */
  meta(): Promise<Row | undefined>;
  /**
   * Supposes that declarations are as they were at a change, and the tables `born`, so that nobody waits for the
   * row of `meta`: where they are not, all of it is undone, and done again. `false`: it is
   * not supposed, and to be read. Absent where that costs nothing.
   */
  suppose?(changes: number, born: number): boolean;
  /** Takes ready messages of a queue, if it knows who does; the rows have `head` and `body`, too. */
  claim(claim: Claim): Promise<Claimed>;
  /**
   * Takes the ready messages at the heads of lanes of a queue, as far as they are there: the
   * lanes of those stand last in the ring, and are busy where they have a key. The rows are
   * as those of `claim`, in any order.
   */
  takeHeads(
    queue: number,
    heads: readonly Place[],
    holder: number,
  ): Promise<readonly Row[]>;
  /** Removes messages that a holder has; says which were there. */
  remove(
    places: readonly Place[],
    holder: number,
  ): Promise<readonly boolean[]>;
}

/**
 * A transaction of the caller's, with the verbs that it needs. Texts alone cross to its
 * client as values, whatever that is.
 */
export type CallersTx =
  & Pick<Tx, "rows" | "append" | "news" | "soonest" | "onFailed" | "suppose">
  & {
    /** Reads the row of `meta`. */
    meta(): Promise<Row | undefined>;
    /** Adds a row to an outbox. */
    addToOutbox(outbox: string, row: OutboxRow, now: number): Promise<void>;
  };

/** What happened in a database. `undefined`: somewhere else something did. */
export type Happening = Pick<Tx, "news" | "soonest"> | undefined;

/** How a transaction is made. */
export interface TransactOptions {
  /**
   * The disk is not waited for: it outlives the process, and a machine that loses its power
   * where a later one does that is not lazy. @default {false}
   */
  readonly lazy?: boolean | undefined;
  /** No other transaction is under way meanwhile, in any process: declarations change. @default {false} */
  readonly alone?: boolean | undefined;
}

/** A database with our tables. */
export interface Sql extends AsyncDisposable {
  /** The largest message, in bytes. */
  readonly itemBytes: number;
  /** Whether it outlives the process. */
  readonly isPersistent: boolean;
  /** Whether what is lazy outlives all that is killed, and is lost with a machine's power alone. */
  readonly keepsLazy: boolean;
  /** The time that all go by who share it, ms since 1970. */
  now(): number;
  /**
   * Does something in one transaction, and after those before it. It may be done again from
   * its beginning, where another one was in its way.
   */
  transact<T>(
    work: (tx: Tx) => Promise<T>,
    how?: TransactOptions,
  ): Promise<T>;
  /** Asks the database what it is. */
  serverInfo(): Promise<ServerInfo>;
  /** Reads, and changes nothing. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Does something in a transaction of the caller's, who ends it; absent where nobody else
   * can have one. It may be done again from its beginning, where declarations are not as was
   * supposed.
   *
   * @throws {OptionError} If it is no transaction of this database.
   */
  within?<T>(
    transaction: SqlTransaction,
    work: (tx: CallersTx) => Promise<T>,
  ): Promise<T>;
  /**
   * Calls back for what happens, here or in another process.
   *
   * @param callback Must not throw.
   * @returns A function that ends it.
   */
  listen(callback: (happening: Happening) => void): () => void;
  /** Tells who is at the other end of its socket, where it has one. */
  peer?(): Peer | undefined;
  /** The client underneath. */
  native(): unknown;
  /** Ends it at once, without a word to the server. */
  destroy?(): void;
  /** Settles where the server is gone, with why. */
  readonly lost?: Promise<Error> | undefined;
}
