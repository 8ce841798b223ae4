import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import { Works } from "../sql/works.ts";
import { SqlStore } from "../sql/store.ts";
import type { Sql } from "../sql/port.ts";
import { createStoreTransport } from "../store/connection.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { endedMeanwhile, notAnswered } from "../connection_errors.ts";
import { absolutePath, loadSqlite } from "./client.ts";
import { SqliteDatabase } from "./database.ts";
import { openError } from "./errors.ts";
import { readSqliteOptions, type SqliteSettings } from "./options.ts";
import { Limits } from "../../async/limits.ts";

/** A database that connections of this process share. */
interface Shared {
  readonly opening: Promise<{
    readonly database: SqliteDatabase;
    readonly works: Works;
  }>;
  users: number;
}

/** The open databases of this process: a file has one, and so has the memory. */
const OPEN = new Map<string, Shared>();

/**
 * Makes the SQLite transport.
 *
 * @returns The transport. All of them share the databases that are open in this process.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/sqlite";
 *
 * assertEquals(createTransport().name, "sqlite");
 * ```
 */
export function createTransport(): Transport {
  return createStoreTransport({ name: "sqlite", open });
}

async function open(url: BrokerUrl, options: ConnectOptions): Promise<Store> {
  const settings = readSqliteOptions(url, options.transportOptions);
  const { clock, owner, operationTimeout, signal, deadline } = options;
  const broker = formatUrl(url);
  const name = settings.path === undefined
    ? ":memory:"
    : `${settings.synchronous} ${absolutePath(settings.path)}`;
  const shared = OPEN.get(name) ?? {
    users: 0,
    opening: openDatabase(settings, broker, options),
  };
  OPEN.set(name, shared);
  shared.users++;
  const leave = async () => {
    if (--shared.users > 0) return;
    if (OPEN.get(name) === shared) OPEN.delete(name);
    const { database, works } = await shared.opening;
    works.end();
    await database[Symbol.asyncDispose]();
  };
  /** Who connects now opens another one: this one may have failed. */
  const giveUp = () => {
    if (OPEN.get(name) === shared) OPEN.delete(name);
  };
  const limits = new Limits(clock);
  try {
    const { database, works } = await limits.wait(
      shared.opening,
      { signal, deadline },
      () => notAnswered(`connect to "${broker}"`, "not-sent", "the database"),
    );
    const { lease } = settings;
    const store = new SqlStore(sharing(database, leave, giveUp), works, {
      clock,
      owner,
      operationTimeout,
      lease,
    });
    await store.open({ signal, deadline });
    return store;
  } catch (error) {
    leave().catch(() => {}); // it was never open
    throw error;
  } finally {
    limits.end(() => endedMeanwhile(undefined));
  }
}

async function openDatabase(
  { path, synchronous, poll }: SqliteSettings,
  broker: string,
  { clock, operationTimeout }: ConnectOptions,
): Promise<{ readonly database: SqliteDatabase; readonly works: Works }> {
  const openClient = await loadSqlite();
  let client: ReturnType<typeof openClient>;
  try {
    client = openClient(path === undefined ? ":memory:" : absolutePath(path));
  } catch (error) {
    throw openError(broker, error);
  }
  const database = new SqliteDatabase(client, {
    broker,
    clock,
    path: path === undefined ? undefined : absolutePath(path),
    synchronous,
    poll,
    patience: operationTimeout,
  });
  try {
    await database.open();
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
  return { database, works: new Works(database, clock) };
}

/** A connection's part of a database: it is closed with the last. */
function sharing(
  database: SqliteDatabase,
  leave: () => Promise<void>,
  giveUp: () => void,
): Sql {
  let leaving: Promise<void> | undefined;
  return {
    itemBytes: database.itemBytes,
    isPersistent: database.isPersistent,
    keepsLazy: database.keepsLazy,
    now: () => database.now(),
    transact: (work, how) => database.transact(work, how),
    serverInfo: () => database.serverInfo(),
    read: (work) => database.read(work),
    listen: (callback) => database.listen(callback),
    native: () => database.native(),
    ...(database.isPersistent
      ? { within: (transaction, work) => database.within(transaction, work) }
      : {}),
    destroy() {
      giveUp();
      void (leaving ??= leave());
    },
    [Symbol.asyncDispose]: () => leaving ??= leave(),
  };
}
