import type { Clock } from "../../async/clock.ts";
import { Line } from "../../async/line.ts";
import { pause } from "../../async/pause.ts";
import { connectionClosed, connectionLost } from "../connection_errors.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import type {
  CallersTx,
  Happening,
  Sql,
  TransactOptions,
  Tx,
} from "../sql/port.ts";
import type { ServerInfo } from "../server_info.ts";
import { Listeners } from "../sql/listeners.ts";
import {
  checkLayout,
  partsMissing,
  statementsOf,
  tablesOf,
  type Types,
} from "../sql/schema.ts";
import { callersClient, callersFailure } from "./callers_tx.ts";
import { type SqliteClient, stateOfFile } from "./client.ts";
import { isBusy, isFull } from "../sqlite_codes.ts";
import { failure, openError, stillBusy } from "./errors.ts";
import { Transaction } from "./transaction.ts";

const TYPES: Types = {
  number: "INTEGER",
  // Never the number of one that was there before.
  serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
  bytes: "BLOB",
  // In the order of its key: a place is small, and nothing but its key.
  moving: "WITHOUT ROWID",
};

/** SQLite's own limit is a milliard of bytes of a row. */
const ITEM_BYTES = 900_000_000;

/**
 * The journal is moved into the file when it has 16 MB: most of what a queue writes is gone
 * by then. What is waiting is read from memory, as far as 32 MB go.
 */
const TUNING = "PRAGMA wal_autocheckpoint = 4096; PRAGMA cache_size = -32768";

/** The longest pause before a locked file is tried again, ms. */
const MAX_PAUSE = 5;

/** How often it is looked whether the file is still there, ms. */
const GLANCE = 1000;

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
  readonly #listeners: Listeners;
  #version = 0;
  #isClosed = false;
  #isLazy = false;
  /** Which file it is, and when it is looked at next. */
  #file: string | undefined;
  #lookAt = -Infinity;

  /** Makes one of an open file. */
  constructor(client: SqliteClient, settings: DatabaseSettings) {
    this.#client = client;
    this.#settings = settings;
    this.isPersistent = settings.path !== undefined;
    this.#tx = new Transaction(client);
    this.#listeners = new Listeners({
      clock: settings.clock,
      pause: () => this.isPersistent ? settings.poll : undefined,
      look: () => this.#hasChanged(),
    });
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
        this.#client.exec(TUNING);
      }
      await this.transact(async (tx) => {
        await checkTables(tx);
        for (const each of statementsOf(TYPES)) await tx.run(each);
        await checkLayout(tx);
      });
      this.#version = this.#dataVersion();
      const { path } = this.#settings;
      this.#file = path === undefined ? undefined : stateOfFile(path).id;
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
    return this.#line.enter(() => this.#transact(work, lazy));
  }

  /** Its clock is this machine's. */
  serverInfo(): Promise<ServerInfo> {
    return this.read(async (tx) => {
      const [row] = await tx.rows("SELECT sqlite_version() AS version");
      const version = row && String(row.version);
      return { product: "SQLite", version, time: undefined };
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
    return this.#listeners.add(callback);
  }

  native(): unknown {
    return this.#client.native;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#line.enter(() => {
      if (!this.#isClosed) {
        this.#isClosed = true;
        this.#listeners.end();
        try {
          this.#client.close();
        } catch {
          // The user has closed it.
        }
      }
      return Promise.resolve();
    });
  }

  /** Where what is confirmed is to outlive the machine's power, the disk is waited for only where it has to be. */
  #setLazy(lazy: boolean): void {
    if (this.#settings.synchronous === "full") {
      this.#client.exec(`PRAGMA synchronous = ${lazy ? "normal" : "full"}`);
    }
    this.#isLazy = lazy;
  }

  /**
   * What is written to a file that was removed is gone with the last who has it open, and
   * that one is empty SQLite does not see: it has the first page in memory.
   */
  #checkFile(): void {
    const { path, clock, broker } = this.#settings;
    if (path === undefined || this.#file === undefined) return;
    const now = clock.now();
    if (now < this.#lookAt) return;
    const { id, size } = stateOfFile(path);
    const why = id !== this.#file
      ? "the file was removed, or is another one now"
      : size === 0
      ? "the file was truncated: what lay there is gone"
      : undefined;
    if (why !== undefined) {
      throw connectionLost(broker, why, { outcome: "not-sent" });
    }
    this.#lookAt = now + GLANCE;
  }

  async #transact<T>(
    work: (tx: Tx) => Promise<T>,
    lazy: boolean,
  ): Promise<T> {
    const client = this.#client;
    if (this.#isClosed) throw connectionClosed("use the database");
    const tx = this.#tx.begin();
    let result: T;
    try {
      this.#checkFile();
      if (lazy !== this.#isLazy) this.#setLazy(lazy);
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
      if (isFull(error)) this.#makeRoom();
      throw failure(this.#settings.broker, error);
    }
    if (tx.news.size > 0 || tx.soonest < Infinity) {
      const { news, soonest } = tx;
      this.#listeners.tell({ news: new Set(news), soonest });
    }
    return result;
  }

  /**
   * What is in the journal and has its place in the file goes there: the journal begins anew
   * then, and needs no more of a disk that is full. By that acks go on.
   */
  #makeRoom(): void {
    try {
      this.#client.rows("PRAGMA wal_checkpoint(PASSIVE)", []);
    } catch {
      // The file would have to grow, too.
    }
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
      await pause(clock, Math.random() * Math.min(tries, MAX_PAUSE));
    }
  }

  /** Whether another process may have written: that reads a few bytes of shared memory. */
  #hasChanged(): boolean {
    if (this.#line.busy) return false;
    try {
      const version = this.#dataVersion();
      if (version === this.#version) return false;
      this.#version = version;
    } catch {
      // Whoever listens looks, and meets the error.
    }
    return true;
  }

  #dataVersion(): number {
    const [row] = this.#client.rows("PRAGMA data_version", []);
    return Number(row?.data_version);
  }
}

/** Refuses a file in which some of the tables or columns are missing, and others are there. */
async function checkTables(tx: Tx): Promise<void> {
  const rows = await tx.rows(
    `SELECT t.name AS name, c.name AS part
      FROM sqlite_master t, pragma_table_info(t.name) c
      WHERE t.type = 'table' AND t.name GLOB 'dashi_*'`,
  );
  const found = Map.groupBy(rows, ({ name }) => String(name));
  const tables: string[] = [];
  const columns: string[] = [];
  for (const [name, expected] of tablesOf(TYPES)) {
    const table = name.replace(".", "_");
    const there = found.get(table)?.map(({ part }) => part);
    if (there === undefined) tables.push(table);
    else {
      const away = expected.filter((each) => !there.includes(each));
      columns.push(...away.map((each) => `${table}.${each}`));
    }
  }
  const isNew = columns.length === 0 &&
    (!found.has("dashi_meta") ||
      (await tx.rows("SELECT layout FROM dashi.meta")).length === 0);
  if (!isNew && tables.length + columns.length > 0) {
    throw partsMissing({ tables, columns });
  }
}

function rollBack(client: SqliteClient): void {
  try {
    client.exec("ROLLBACK");
  } catch {
    // SQLite has done it already.
  }
}
