/** The client that the user gets is on a session of his own. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/postgres";
import { unique, until } from "../../conformance/support.ts";
import { test, withClient } from "../../support/postgres_client.ts";

test("a transaction of the native client is the user's alone, whatever is sent and taken meanwhile", async (url) => {
  await using connection = createConnection(url);
  const queue = new Queue<number>(unique("native"));
  await connection.declare(queue);
  const table = unique("notes").replaceAll("-", "_");
  const native = await connection.native(nativeClient);
  await native.query(`CREATE TABLE ${table} (id bigint)`);
  const count = async () =>
    (await native.query(`SELECT id FROM ${table}`)).rows.length;
  try {
    await native.query("BEGIN");
    await native.query(`INSERT INTO ${table} VALUES (1)`);
    await connection.send(queue, 1);
    await native.query("ROLLBACK");
    assertEquals(await count(), 0);
    const message = await connection.queue(queue).get();
    assertEquals(message?.payload, 1);
    // An error of the user's ends no transaction of the library's.
    await native.query("BEGIN");
    await assertRejects(() => native.query("SELECT 1 / 0"), Error, "zero");
    await message?.ack();
    await connection.send(queue, 2, {
      transaction: await inTransaction(native),
    });
    await native.query("COMMIT");
    assertEquals(await connection.queue(queue).purge(), 1);
  } finally {
    await native.query(`DROP TABLE ${table}`);
    await connection.delete(queue);
  }
});

test("the native client's session ends with its connection, and another begins where the user has ended it", async (url) => {
  const name = unique("native");
  const sessions = () =>
    withClient(url, async (client) => {
      const { rows } = await client.query(
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1",
        [name],
      );
      return rows.map(({ pid }) => pid);
    });
  {
    await using connection = createConnection(url, { name });
    await connection.connect();
    assertEquals((await sessions()).length, 2);
    const native = await connection.native(nativeClient);
    const { rows: [row] } = await native.query(
      "SELECT pg_backend_pid() AS pid",
    );
    assertEquals((await sessions()).length, 3);
    await withClient(
      url,
      (client) => client.query("SELECT pg_terminate_backend($1)", [row?.pid]),
    );
    await until(
      async () => await connection.native(nativeClient) !== native,
      "another client",
    );
    const other = await connection.native(nativeClient);
    const { rows } = await other.query("SELECT 1 AS one");
    assertEquals(rows, [{ one: 1 }]);
    assert(connection.connected);
  }
  await until(
    async () => (await sessions()).length === 0,
    "the end of all of its sessions",
  );
});

/** Begins anew what an error has ended. */
async function inTransaction<
  T extends { query(sql: string): Promise<unknown> },
>(
  native: T,
): Promise<T> {
  await native.query("ROLLBACK");
  await native.query("BEGIN");
  return native;
}
