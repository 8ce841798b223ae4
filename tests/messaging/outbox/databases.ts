import { DatabaseSync } from "node:sqlite";
import type { Message, SqlTransaction } from "@dashi/mq";
import { inTransaction } from "@dashi/mq/sqlite";
import { unique } from "../../conformance/support.ts";
import { type TestClient, withClient } from "../../support/postgres_client.ts";

/** A database of a test, with a table of users. */
export interface TestDatabase {
  /** The URL that connections of the library have. */
  readonly url: string;
  /** Does something in a transaction; what throws rolls back. */
  transact<T>(
    work: (transaction: SqlTransaction) => Promise<T> | T,
  ): Promise<T>;
  /** Runs a statement in the transaction, or by itself; returns rows. */
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
}

/** Databases that tests are run on; without a URL it says why. */
export interface DatabaseKind {
  readonly name: string;
  readonly reason: string | undefined;
  use(run: (database: TestDatabase) => Promise<void>): Promise<void>;
}

const url = Deno.env.get("DASHI_TEST_POSTGRES_URL");
const reason = Deno.env.get("DASHI_TEST_POSTGRES_REASON") ??
  "run it by deno task test, which provides PostgreSQL";

/** A database that is open: a file of SQLite, or a client of pg. */
export async function openDatabase(
  url: string,
): Promise<TestDatabase & { close(): Promise<void> }> {
  if (url.startsWith("sqlite:")) {
    const database = new DatabaseSync(url.slice("sqlite:".length));
    // Who reads does not wait for who writes.
    database.exec("PRAGMA busy_timeout = 60000");
    database.exec("PRAGMA journal_mode = WAL");
    return {
      url,
      transact: (work) => inTransaction(database, work),
      query: (sql) =>
        Promise.resolve(
          database.prepare(sql).all() as Record<string, unknown>[],
        ),
      close: () => Promise.resolve(database.close()),
    };
  }
  const { promise: over, resolve: close } = Promise.withResolvers<void>();
  const { promise, resolve, reject } = Promise.withResolvers<TestClient>();
  const ended = withClient(url, async (client) => {
    resolve(client);
    await over;
  });
  ended.catch(reject);
  const client = await promise;
  return {
    url,
    async transact(work) {
      await client.query("BEGIN");
      try {
        const result = await work(client as SqlTransaction);
        await client.query("COMMIT");
        return result;
      } catch (error) {
        await client.query("ROLLBACK");
        throw error;
      }
    },
    query: async (sql) => (await client.query(sql)).rows,
    async close() {
      close();
      await ended;
    },
  };
}

async function useSqlite(
  run: (database: TestDatabase) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-outbox-" });
  const database = await openDatabase(`sqlite:${folder}/shop.db`);
  try {
    await run(database);
  } finally {
    await database.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function usePostgres(
  run: (database: TestDatabase) => Promise<void>,
): Promise<void> {
  const schema = unique("outbox").replaceAll("-", "_");
  const database = await openDatabase(url ?? "");
  try {
    await database.query(`CREATE SCHEMA ${schema}`);
    await database.query(`SET search_path = ${schema}`);
    await run({ ...database, url: `${url}?schema=${schema}` });
  } finally {
    await database.query(`DROP SCHEMA ${schema} CASCADE`);
    await database.close();
  }
}

/** All of them. */
export const DATABASES: readonly DatabaseKind[] = [
  { name: "sqlite", reason: undefined, use: useSqlite },
  {
    name: "postgres",
    reason: url === undefined ? reason : undefined,
    use: usePostgres,
  },
];

/** The schema of a test's tables, where its database has schemas. */
export function schemaOf(shop: TestDatabase): string | undefined {
  return new URL(shop.url).searchParams.get("schema") ?? undefined;
}

/** Registers a test on each of them. */
export function test(
  name: string,
  run: (database: TestDatabase) => Promise<void>,
): void {
  for (const { name: kind, reason, use } of DATABASES) {
    Deno.test({
      name: reason === undefined
        ? `${kind}: ${name}`
        : `${kind}: ${name} (${reason})`,
      ignore: reason !== undefined,
      // The sockets of pg end a turn after it says so.
      sanitizeOps: kind === "sqlite",
      sanitizeResources: kind === "sqlite",
      fn: () => use(run),
    });
  }
}

/** Takes so many messages of a queue. */
export async function takeFrom(
  messages: AsyncIterable<Message<unknown>>,
  count: number,
): Promise<Message<unknown>[]> {
  const taken: Message<unknown>[] = [];
  for await (const message of messages) {
    await message.ack();
    if (taken.push(message) === count) break;
  }
  return taken;
}
