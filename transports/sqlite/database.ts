import type { Clock } from "../../async/clock.ts";
import { Line } from "../../async/line.ts";
import { connectionClosed } from "../connection_errors.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import type {
  CallersTx,
  Claim,
  Draft,
  Happening,
  Place,
  Row,
  Sql,
  TransactOptions,
  Tx,
  Value,
} from "../sql/port.ts";
import {
  checkLayout,
  HELD,
  READY,
  statementsOf,
  type Types,
} from "../sql/schema.ts";
import type { OutboxRow } from "../outbox.ts";
import { callersClient, callersFailure } from "./callers_tx.ts";
import type { SqliteClient } from "./client.ts";
import { failure, isBusy, openError, stillBusy } from "./errors.ts";

const TYPES: Types = {
  number: "INTEGER",
  // Never the number of one that was there before.
  serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
  bytes: "BLOB",
  clustered: "WITHOUT ROWID",
};

/** SQLite's own limit is a milliard of bytes of a row. */
const ITEM_BYTES = 900_000_000;

/** The longest pause before a locked file is tried again, ms. */
const MAX_PAUSE = 5;

/** The settings of a file. */
export interface DatabaseSettings {
  /** The URL, for errors. */
  readonly broker: string;
  readonly clock: Clock;
  /** The file; `undefined`: a database in memory. */
  readonly path: string | undefined;
  /** Whether what is confirmed outlives the machine's end, too. */
  readonly synchronous: "full" | "normal";
  /** How often it is asked whether another process has written, while somebody waits, ms. */
  readonly poll: number;
  /** How long another process may keep the file locked, ms. */
  readonly patience: number;
}

/** A database of SQLite, which all connections of this process to it share. */
export class SqliteDatabase implements Sql {
  readonly itemBytes: number = ITEM_BYTES;
  readonly isPersistent: boolean;
  /** The system writes what a process has handed to it. */
  readonly keepsLazy: boolean = true;
  readonly #client: SqliteClient;
  readonly #settings: DatabaseSettings;
  readonly #line = new Line();
  readonly #tx: Transaction;
  readonly #listeners = new Set<(happening: Happening) => void>();
  #stopTimer: (() => void) | undefined;
  #version = 0;
  #isClosed = false;
  #isLazy = false;

  /** Makes one of an open file. */
  constructor(client: SqliteClient, settings: DatabaseSettings) {
    this.#client = client;
    this.#settings = settings;
    this.isPersistent = settings.path !== undefined;
    this.#tx = new Transaction(client);
  }

  /** Makes the tables that are not there. */
  async open(): Promise<void> {
    const { broker, synchronous } = this.#settings;
    try {
      // What is set here holds for the connection, and the journal for the file.
      await this.#untilFree(() =>
        this.#client.exec(`PRAGMA synchronous = ${synchronous}`)
      );
      if (this.isPersistent) {
        await this.#untilFree(() =>
          this.#client.exec("PRAGMA journal_mode = WAL")
        );
      }
      await this.transact(async (tx) => {
        for (const each of statementsOf(TYPES)) await tx.run(each);
        await checkLayout(tx);
      });
      this.#version = this.#dataVersion();
    } catch (error) {
      throw openError(broker, error);
    }
  }

  now(): number {
    return this.#settings.clock.wall();
  }

  transact<T>(
    work: (tx: Tx) => Promise<T>,
    { lazy = false }: TransactOptions = {},
  ): Promise<T> {
    return this.#line.enter(() => {
      if (lazy !== this.#isLazy) this.#setLazy(lazy);
      return this.#transact(work);
    });
  }

  read<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#line.enter(() => this.#read(work));
  }

  async within<T>(
    transaction: SqlTransaction,
    work: (tx: CallersTx) => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed) throw connectionClosed("use the database");
    const { path = "" } = this.#settings;
    try {
      const client = callersClient(transaction, this.#client.native, path);
      const tx = new Transaction(client);
      try {
        return await work(tx);
      } catch (error) {
        for (const undo of tx.onFailed) undo();
        throw error;
      }
    } catch (error) {
      throw callersFailure(error);
    }
  }

  listen(callback: (happening: Happening) => void): () => void {
    this.#listeners.add(callback);
    if (this.isPersistent && this.#stopTimer === undefined) this.#poll();
    return () => {
      this.#listeners.delete(callback);
      if (this.#listeners.size === 0) this.#stopPolling();
    };
  }

  native(): unknown {
    return this.#client.native;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#line.enter(() => {
      if (!this.#isClosed) {
        this.#isClosed = true;
        this.#stopPolling();
        this.#client.close();
      }
      return Promise.resolve();
    });
  }

  /** Where what is confirmed is to outlive the machine's power, the disk is waited for only where it has to be. */
  #setLazy(lazy: boolean): void {
    this.#isLazy = lazy;
    if (this.#settings.synchronous !== "full" || this.#isClosed) return;
    this.#client.exec(`PRAGMA synchronous = ${lazy ? "normal" : "full"}`);
  }

  async #transact<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const client = this.#client;
    if (this.#isClosed) throw connectionClosed("use the database");
    const tx = this.#tx.begin();
    let result: T;
    try {
      await this.#untilFree(() => client.run("BEGIN IMMEDIATE", []));
      try {
        result = await work(tx);
        client.run("COMMIT", []);
      } catch (error) {
        rollBack(client);
        throw error;
      }
    } catch (error) {
      for (const undo of tx.onFailed) undo();
      throw failure(this.#settings.broker, error);
    }
    if (tx.news.size > 0 || tx.soonest < Infinity) {
      const { news, soonest } = tx;
      this.#tell({ news: new Set(news), soonest });
    }
    return result;
  }

  async #read<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw connectionClosed("use the database");
    const tx = this.#tx.begin();
    try {
      return await work(tx);
    } catch (error) {
      for (const undo of tx.onFailed) undo();
      throw failure(this.#settings.broker, error);
    }
  }

  /** Tries until no other process has the file locked: this one goes on meanwhile. */
  async #untilFree(attempt: () => void): Promise<void> {
    const { clock, patience, broker } = this.#settings;
    let until: number | undefined;
    for (let tries = 1;; tries++) {
      try {
        return attempt();
      } catch (error) {
        if (!isBusy(error)) throw error;
        until ??= clock.now() + patience;
        if (clock.now() >= until) throw stillBusy(broker);
      }
      const pause = Math.random() * Math.min(tries, MAX_PAUSE);
      await new Promise<void>((resolve) => clock.timer(resolve, pause));
    }
  }

  #tell(happening: Happening): void {
    for (const listener of [...this.#listeners]) listener(happening);
  }

  /** Asks whether another process has written: that reads a few bytes of shared memory. */
  #poll(): void {
    this.#stopTimer = this.#settings.clock.timer(() => {
      this.#poll();
      if (this.#line.busy) return;
      try {
        const version = this.#dataVersion();
        if (version === this.#version) return;
        this.#version = version;
      } catch {
        // Whoever listens looks, and meets the error.
      }
      this.#tell(undefined);
    }, this.#settings.poll);
  }

  #stopPolling(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #dataVersion(): number {
    const [row] = this.#client.rows("PRAGMA data_version", []);
    return Number(row?.data_version);
  }
}

function rollBack(client: SqliteClient): void {
  try {
    client.exec("ROLLBACK");
  } catch {
    // SQLite has done it already.
  }
}

/** The statements of one transaction at a time, as SQLite has them. */
class Transaction implements Tx, CallersTx {
  news = new Set<number>();
  soonest = Infinity;
  onFailed: (() => void)[] = [];
  readonly #client: SqliteClient;
  readonly #texts = new Map<string, string>();

  constructor(client: SqliteClient) {
    this.#client = client;
  }

  begin(): this {
    this.news = new Set();
    this.soonest = Infinity;
    this.onFailed = [];
    return this;
  }

  async addToOutbox(
    outbox: string,
    { messageId, head, body }: OutboxRow,
    now: number,
  ): Promise<void> {
    await this.run(
      `INSERT INTO dashi.outbox (outbox, message_id, head, body, written_at)
        VALUES (?, ?, ?, ?, ?)`,
      outbox,
      messageId,
      head,
      body,
      now,
    );
  }

  async meta(): Promise<Row | undefined> {
    const [row] = await this.rows("SELECT changes, routes FROM dashi.meta");
    return row;
  }

  rows(sql: string, ...values: readonly Value[]): Promise<readonly Row[]> {
    return Promise.resolve(this.#client.rows(this.#text(sql), values));
  }

  run(sql: string, ...values: readonly Value[]): Promise<number> {
    return Promise.resolve(this.#client.run(this.#text(sql), values));
  }

  /** There is one writer. */
  lock(): Promise<void> {
    return Promise.resolve();
  }

  append(drafts: readonly Draft[]): Promise<void> {
    const client = this.#client;
    for (const draft of drafts) {
      client.run(ADD_MESSAGE, [draft.head, draft.body]);
      client.run(ADD_PLACE, [
        draft.state,
        draft.queue,
        draft.rank,
        draft.home,
        draft.key,
        draft.messageId,
        draft.expiresAt,
        draft.deliveries,
        draft.putAt,
        draft.size,
      ]);
    }
    return Promise.resolve();
  }

  claim({ queue, limit, now, holder }: Claim): Promise<readonly Row[]> {
    const rows = this.#client.rows(FIND, [queue, now, limit]);
    const last = rows.at(-1);
    if (last !== undefined) {
      // All up to the last, in two steps: one for each costs more.
      const these = [queue, last.rank ?? 0, last.id ?? 0, now];
      this.#client.run(HOLD, [holder, ...these]);
      this.#client.run(LEAVE, these);
    }
    return Promise.resolve(rows);
  }

  remove(
    places: readonly Place[],
    holder: number,
  ): Promise<readonly boolean[]> {
    const client = this.#client;
    return Promise.resolve(places.map(({ queue, rank, id }) => {
      const wasOurs = client.run(REMOVE_PLACE, [queue, rank, id, holder]) > 0;
      if (wasOurs) client.run(REMOVE_MESSAGE, [id]);
      return wasOurs;
    }));
  }

  #text(sql: string): string {
    let text = this.#texts.get(sql);
    if (text === undefined) this.#texts.set(sql, text = named(sql));
    return text;
  }
}

/** SQLite has no schemas: the names of our tables begin with ours. */
function named(sql: string): string {
  return sql.replaceAll("dashi.", "dashi_").replace("FOR NOBODY ELSE", "");
}

const ADD_MESSAGE = named(
  "INSERT INTO dashi.messages (head, body) VALUES (?, ?)",
);
const ADD_PLACE = named(`INSERT INTO dashi.places
  (state, queue, rank, id, home, key, message_id, expires_at, deliveries,
    put_at, size)
  VALUES (?, ?, ?, last_insert_rowid(), ?, ?, ?, ?, ?, ?, ?)`);
const FIND = named(`SELECT p.queue, p.rank, p.id, p.deliveries,
    p.expires_at, m.head, m.body
  FROM dashi.places p CROSS JOIN dashi.messages m ON m.id = p.id
  WHERE p.state = ${READY} AND p.queue = ?
    AND (p.expires_at IS NULL OR p.expires_at > ?)
  ORDER BY p.rank, p.id LIMIT ?`);
const THESE = `FROM dashi.places
  WHERE state = ${READY} AND queue = ? AND (rank, id) <= (?, ?)
    AND (expires_at IS NULL OR expires_at > ?)`;
const HOLD = named(`INSERT INTO dashi.places
  SELECT ${HELD}, queue, rank, id, home, ?, key, message_id, expires_at,
    deliveries, put_at, size ${THESE}`);
const LEAVE = named(`DELETE ${THESE}`);
const REMOVE_PLACE = named(`DELETE FROM dashi.places
  WHERE state = ${HELD} AND queue = ? AND rank = ? AND id = ? AND holder = ?`);
const REMOVE_MESSAGE = named("DELETE FROM dashi.messages WHERE id = ?");
