import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { createConnection, Queue } from "@dashi/mq";
import { inTransaction, nativeClient } from "@dashi/mq/sqlite";
import { rejectsWith } from "../../conformance/support.ts";

async function withFile(
  run: (path: string, database: DatabaseSync) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-sqlite-" });
  const path = `${folder}/shop.db`;
  const database = new DatabaseSync(path);
  try {
    await run(path, database);
  } finally {
    database.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("rows and messages of transactions are both there, while the same process consumes from the file", () =>
  withFile(async (path, database) => {
    const [queue, others] = [new Queue("orders"), new Queue("others")];
    await using connection = createConnection(`sqlite:${path}`);
    await connection.declare(queue);
    await connection.declare(others);
    database.exec("CREATE TABLE orders (id INTEGER)");
    const total = 60;
    const seen: unknown[] = [];
    const consumer = connection.consumer(queue);
    const running = consumer.run(async ({ payload }) => {
      seen.push(payload);
      await connection.send(others, payload);
      if (seen.length === total) void consumer.cancel();
    });
    const making = Array.from(
      { length: 2 * total },
      (_, i) =>
        inTransaction(database, async (transaction) => {
          database.exec(`INSERT INTO orders VALUES (${i})`);
          await connection.send(queue, i, { transaction });
          if (i % 2 === 1) throw new Error("rolled back");
        }).catch((error) => assertEquals(error.message, "rolled back")),
    );
    await Promise.all(making);
    await running;
    const even = Array.from({ length: total }, (_, i) => 2 * i);
    assertEquals(seen.toSorted((a, b) => Number(a) - Number(b)), even);
    const rows = database.prepare("SELECT id FROM orders").all();
    assertEquals(rows.map(({ id }) => id), even);
    assertEquals((await connection.declare(others)).messageCount, total);
  }));

Deno.test("a database of another file, in no transaction, or of the connection itself is refused", () =>
  withFile(async (path, database) => {
    const queue = new Queue("orders");
    await using connection = createConnection(`sqlite:${path}`);
    await connection.declare(queue);
    const refuses = (transaction: DatabaseSync, words: string) =>
      rejectsWith(
        connection.send(queue, 1, { transaction }),
        "option-invalid",
        words,
      );
    await refuses(database, "in no transaction");
    const other = new DatabaseSync(":memory:");
    other.exec("BEGIN");
    await refuses(other, "shop.db");
    other.close();
    const own = await connection.native(nativeClient);
    await refuses(own as DatabaseSync, "connection's own");
    assertEquals((await connection.declare(queue)).messageCount, 0);
  }));

Deno.test("a database in memory has no transactions of others", async () => {
  await using connection = createConnection("sqlite::memory:");
  await connection.connect();
  assert(!connection.capabilities.has("transaction"));
  const queue = new Queue("orders");
  await connection.declare(queue);
  const transaction = new DatabaseSync(":memory:");
  await rejectsWith(connection.send(queue, 1, { transaction }), "unsupported");
  transaction.close();
});

Deno.test("inTransaction waits for another writer without blocking, and not for ever", () =>
  withFile(async (path, database) => {
    database.exec("CREATE TABLE orders (id INTEGER)");
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    await assertRejects(
      () => inTransaction(database, () => {}, { timeout: 20 }),
      Error,
      "in time",
    );
    const writing = inTransaction(database, () => {
      database.exec("INSERT INTO orders VALUES (1)");
      return "written";
    });
    other.exec("COMMIT");
    other.close();
    assertEquals(await writing, "written");
    assertEquals(database.prepare("SELECT * FROM orders").all().length, 1);
  }));

Deno.test("a transaction within one of the same database is refused, and one of another database, or afterwards, is not", () =>
  withFile(async (path, database) => {
    database.exec("CREATE TABLE orders (id INTEGER)");
    const other = new DatabaseSync(":memory:");
    let later: (() => Promise<void>) | undefined;
    await inTransaction(database, async () => {
      database.exec("INSERT INTO orders VALUES (1)");
      await inTransaction(other, async () => {
        await rejectsWith(
          inTransaction(database, () => {}),
          "option-invalid",
          "within another of the same database",
        );
      });
      const { promise, resolve } = Promise.withResolvers<void>();
      const afterwards = promise.then(() => inTransaction(database, () => {}));
      later = () => {
        resolve();
        return afterwards;
      };
    });
    await later?.();
    other.close();
    const rows = database.prepare("SELECT id FROM orders").all();
    assertEquals(rows.length, 1, path);
  }));

Deno.test("a database that reads rows as arrays, and numbers as bigints, has transactions too", () =>
  withFile(async (path) => {
    const queue = new Queue("orders");
    await using connection = createConnection(`sqlite:${path}`);
    await connection.declare(queue);
    const reading: object = { returnArrays: true, readBigInts: true };
    const database = new DatabaseSync(path, reading);
    await inTransaction(database, async (transaction) => {
      await connection.send(queue, 1, { transaction });
    });
    assertEquals((await connection.declare(queue)).messageCount, 1);
    const rows: unknown[] = database.prepare("SELECT 1").all();
    assertEquals(rows, [[1n]]);
    database.close();
  }));
