import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { createConnection, Queue } from "@dashi/mq";
import { createSqlInbox, type SqlInbox } from "@dashi/mq/inbox_sql";
import pg from "pg";
import postgres from "postgres";
import {
  arrives,
  rejectsWith,
  unique,
  until,
} from "../../conformance/support.ts";
import { DATABASES, schemaOf, type TestDatabase } from "../outbox/databases.ts";

const WINDOW = { window: 3_600_000 };

/** A transaction as the tests use it, whatever client it is of. */
interface Runs {
  run(sql: string): Promise<unknown>;
}

/** An inbox in the database of a test, by one of the clients. */
interface Way {
  readonly inbox: SqlInbox<unknown>;
  /** The transaction of a message. */
  of(message: object): Runs;
  close(): Promise<void>;
}

/** The ways of users to their database. */
const WAYS: Readonly<
  Record<string, (shop: TestDatabase) => Way | undefined>
> = {
  "node:sqlite": (shop) => {
    if (!shop.url.startsWith("sqlite:")) return undefined;
    // The user's own way to read rows is none of the library's business.
    const reading: object = { returnArrays: true, readBigInts: true };
    const file = new DatabaseSync(shop.url.slice("sqlite:".length), reading);
    const inbox = createSqlInbox(file, WINDOW);
    return {
      inbox,
      of: (message) => ({
        run: (sql) => Promise.resolve(inbox.transactionOf(message).exec(sql)),
      }),
      close: () => Promise.resolve(file.close()),
    };
  },
  "a pool of pg": (shop) => {
    const schema = schemaOf(shop);
    if (schema === undefined) return undefined;
    const pool = new pg.Pool({
      connectionString: shop.url.split("?")[0],
      options: `-c search_path=${schema}`,
    });
    const inbox = createSqlInbox<
      { query(sql: string): Promise<unknown> }
    >(pool, WINDOW);
    return {
      inbox,
      of: (message) => ({
        run: (sql) => inbox.transactionOf(message).query(sql),
      }),
      close: () => pool.end(),
    };
  },
  "postgres.js": (shop) => {
    const schema = schemaOf(shop);
    if (schema === undefined) return undefined;
    const sql = postgres(shop.url.split("?")[0] ?? "", {
      connection: { search_path: schema },
      onnotice: () => {},
    });
    const inbox = createSqlInbox<postgres.TransactionSql>(sql, WINDOW);
    return {
      inbox,
      of: (message) => ({
        run: async (text) => await inbox.transactionOf(message).unsafe(text),
      }),
      close: () => sql.end(),
    };
  },
  "an adapter": (shop) => {
    const schema = schemaOf(shop);
    if (schema === undefined) return undefined;
    const sql = postgres(shop.url.split("?")[0] ?? "", {
      connection: { search_path: schema },
      onnotice: () => {},
    });
    const inbox = createSqlInbox({
      begin: (
        work: (transaction: postgres.TransactionSql) => Promise<unknown>,
      ) => sql.begin(work),
      query: async (transaction, text, values) => ({
        rows: await transaction.unsafe(text, values),
      }),
    }, WINDOW);
    return {
      inbox,
      of: (message) => ({
        run: async (text) => await inbox.transactionOf(message).unsafe(text),
      }),
      close: () => sql.end(),
    };
  },
};

/** A database that has a table for the effects of handlers, and the way to it. */
interface Shop {
  readonly shop: TestDatabase;
  readonly way: Way;
  /** The way's name. */
  readonly client: string;
  readonly isSqlite: boolean;
}

/** Registers a test for each database and each way to it. */
function testEachWay(title: string, run: (at: Shop) => Promise<void>): void {
  for (const { name, reason, use } of DATABASES) {
    const isSqlite = name === "sqlite";
    for (const [client, open] of Object.entries(WAYS)) {
      if ((client === "node:sqlite") !== isSqlite) continue;
      Deno.test({
        name: `by ${client} ${title}${
          reason === undefined ? "" : ` (${reason})`
        }`,
        ignore: reason !== undefined,
        sanitizeOps: isSqlite,
        sanitizeResources: isSqlite,
        fn: () =>
          use(async (shop) => {
            const way = open(shop);
            assert(way !== undefined);
            await shop.query("CREATE TABLE effects (id TEXT)");
            await run({ shop, way, client, isSqlite });
            await way.close();
          }),
      });
    }
  }
}

testEachWay(
  "keys that are long, and alike but for their ends, are told apart, and each is handled once",
  async ({ way }) => {
    await using connection = createConnection(`memory://${unique("inbox")}`);
    const queue = new Queue<string>("orders");
    // By chance, or PostgreSQL would make them short.
    const random = crypto.getRandomValues(new Uint8Array(6000));
    const long = String.fromCharCode(...random.map((byte) => 33 + byte % 93));
    const keys = [`${long}a`, `${long}b`, `${long}a`, "\u20ac".repeat(3000)];
    for (const key of [...keys, "last"]) await connection.send(queue, key);
    const calls: string[] = [];
    const consumer = connection.consumer(queue);
    await arrives(
      consumer.run(({ payload }) => {
        calls.push(payload.slice(-1));
        if (payload === "last") void consumer.cancel();
      }, {
        inbox: way.inbox,
        inboxKey: ({ payload }) => payload,
        onError: () => {},
      }),
      "the end of the run",
    );
    assertEquals(calls, ["a", "b", "\u20ac", "t"]);
  },
);

testEachWay(
  "what a handler writes and its mark are there together, or neither is",
  async ({ shop, way }) => {
    await using connection = createConnection(`memory://${unique("inbox")}`);
    const queue = new Queue<string>("orders");
    for (const id of ["a", "a", "fails", "b", "fails", "a", "last"]) {
      await connection.send(queue, id, { messageId: id });
    }
    const consumer = connection.consumer(queue);
    const calls: string[] = [];
    let kept: object = {};
    await arrives(
      consumer.run(async (message) => {
        const { payload } = message;
        calls.push(payload);
        kept = message;
        await way.of(message).run(
          `INSERT INTO effects (id) VALUES ('${payload}')`,
        );
        if (payload === "fails") throw new Error("failed");
        if (payload === "last") void consumer.cancel();
      }, { inbox: way.inbox, onError: () => {}, onFailure: "reject" }),
      "the end of the run",
    );
    assertEquals(calls, ["a", "fails", "b", "fails", "last"]);
    const rows = await shop.query("SELECT id FROM effects ORDER BY id");
    assertEquals(rows.map(({ id }) => id), ["a", "b", "last"]);
    assertEquals(consumer.health().duplicates, 2);
    const marks = await shop.query("SELECT key FROM dashi_inbox");
    assertEquals(marks.length, 3);
    await assertRejects(
      () => Promise.resolve().then(() => way.inbox.transactionOf(kept)),
      Error,
      "at work",
    );
  },
);

testEachWay(
  "a table of marks that is dropped while a run is at work is made again",
  async ({ shop, way }) => {
    await using connection = createConnection(`memory://${unique("inbox")}`);
    const queue = new Queue<string>("orders");
    const send = (id: string) => connection.send(queue, id, { messageId: id });
    const consumer = connection.consumer(queue);
    const calls: string[] = [];
    const errors: Error[] = [];
    const running = consumer.run(({ payload }) => {
      calls.push(payload);
      if (payload === "last") void consumer.cancel();
    }, { inbox: way.inbox, onError: (error) => errors.push(error) });
    await send("before");
    const marked = async () => {
      try {
        return (await shop.query("SELECT key FROM dashi_inbox")).length;
      } catch {
        return 0; // there is no such table yet
      }
    };
    await until(async () => await marked() === 1, "the first mark");
    await shop.query("DROP TABLE dashi_inbox");
    for (const id of ["after", "after", "last"]) await send(id);
    await arrives(running, "the end of the run");
    assertEquals(calls, ["before", "after", "last"]);
    assertEquals(errors.length, 1, String(errors));
    assertEquals(await marked(), 2);
  },
);

testEachWay(
  "a handler that goes on after its transaction is over has failed",
  async ({ shop, way, client, isSqlite }) => {
    await using connection = createConnection(`memory://${unique("inbox")}`);
    const queue = new Queue<string>("orders");
    await connection.send(queue, "a", { messageId: "a" });
    const consumer = connection.consumer(queue);
    const errors: Error[] = [];
    await arrives(
      consumer.run(async (message) => {
        const { run } = way.of(message);
        await run("INSERT INTO effects (id) VALUES ('a')");
        if (message.attempt > 1) return void consumer.cancel();
        await run(isSqlite ? "ROLLBACK" : "SELECT 1 / 0").catch(() => {});
      }, {
        inbox: way.inbox,
        onError: (error) => errors.push(error),
        retry: { attempts: 2, backoff: 0 },
      }),
      "the end of the run",
    );
    assertEquals(errors.length, 1);
    if (client !== "postgres.js" && client !== "an adapter") {
      assert(errors[0]?.message.includes("savepoint"), String(errors[0]));
    }
    assertEquals((await shop.query("SELECT id FROM effects")).length, 1);
    const marks = await shop.query("SELECT key FROM dashi_inbox");
    assertEquals(marks.length, 1);
  },
);

for (const { name, reason, use } of DATABASES) {
  if (name === "sqlite") continue;
  Deno.test({
    name:
      `by a pool of pg a connection that is lost in a handler fails that, and ends nothing else${
        reason === undefined ? "" : ` (${reason})`
      }`,
    ignore: reason !== undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () =>
      use(async (shop) => {
        const pool = new pg.Pool({
          connectionString: shop.url.split("?")[0],
          options: `-c search_path=${schemaOf(shop)}`,
        });
        const inbox = createSqlInbox<pg.PoolClient>(pool, WINDOW);
        await shop.query("CREATE TABLE effects (id TEXT)");
        await using connection = createConnection(
          `memory://${unique("inbox")}`,
        );
        const queue = new Queue<string>("orders");
        await connection.send(queue, "a", { messageId: "a" });
        const consumer = connection.consumer(queue);
        await arrives(
          consumer.run(async (message) => {
            const client = inbox.transactionOf(message);
            await client.query("INSERT INTO effects VALUES ('a')");
            if (message.attempt > 1) return void consumer.cancel();
            const { rows } = await client.query(
              "SELECT pg_backend_pid() AS pid",
            );
            const ended = new Promise((resolve) => client.once("end", resolve));
            await shop.query(`SELECT pg_terminate_backend(${rows[0]?.pid})`);
            await ended;
          }, { inbox, onError: () => {}, retry: { attempts: 2, backoff: 0 } }),
          "the end of the run",
        );
        assertEquals((await shop.query("SELECT id FROM effects")).length, 1);
        assertEquals(pool.totalCount, 1);
        await pool.end();
      }),
  });
}

Deno.test("a batch takes no inbox that has a transaction for each message", async () => {
  await using connection = createConnection(`memory://${unique("inbox")}`);
  const file = new DatabaseSync(":memory:");
  const inbox = createSqlInbox(file, WINDOW);
  await rejectsWith(
    connection.consumer("orders").runBatches(() => {}, { inbox }),
    "option-invalid",
    "runBatches",
  );
  file.close();
});

Deno.test("an inbox of something else, a bad table and a window that is none are refused", async () => {
  const refused = (database: unknown, options: object, words: string) =>
    rejectsWith(
      (async () =>
        await Promise.resolve(
          createSqlInbox(database as never, { ...WINDOW, ...options } as never),
        ))(),
      "option-invalid",
      words,
    );
  await refused({}, {}, "Pool of pg");
  await refused("postgres://localhost", {}, "Pool of pg");
  const file = new DatabaseSync(":memory:");
  await refused(file, { table: "a; DROP TABLE b" }, "table");
  for (const window of [0, Infinity]) {
    await assertRejects(
      () => Promise.resolve().then(() => createSqlInbox(file, { window })),
      RangeError,
    );
  }
  file.close();
});
