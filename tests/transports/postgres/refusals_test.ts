/** A server that refuses statements, and tables that somebody has emptied or dropped. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/postgres";
import { rejectsWith, unique } from "../../conformance/support.ts";
import { test, withClient, withSchema } from "../../support/postgres_client.ts";

/** Lets the first statements of a kind fail with a state of SQL's; what rolls back does not count anew. */
function refusing(
  schema: string,
  table: string,
  event: string,
  state: string,
): string {
  return `CREATE SEQUENCE ${schema}.refused;
    CREATE FUNCTION ${schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('${schema}.refused') <= 2 THEN
          RAISE EXCEPTION 'the test refuses' USING ERRCODE = '${state}';
        END IF;
        RETURN NULL;
      END $$;
    CREATE TRIGGER refuse AFTER ${event} ON ${schema}.${table}
      FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.refuse()`;
}

for (
  const [what, table, event] of [
    ["publish", "messages", "INSERT"],
    ["take", "places", "UPDATE"],
    ["ack", "messages", "DELETE"],
  ] as const
) {
  for (const state of ["53100", "55P03", "57014", "40001"]) {
    test(`a ${what} that is refused twice with ${state} succeeds, and what is in hand stays there`, (url) =>
      withSchema(url, async (own, schema) => {
        await using connection = createConnection(own);
        const queue = new Queue<string>(unique("refused"));
        await connection.send(queue, "held");
        const held = await connection.queue(queue).get();
        const native = await connection.native(nativeClient);
        await withClient(
          url,
          (client) => client.query(refusing(schema, table, event, state)),
        );
        await connection.send(queue, "next");
        const next = await connection.queue(queue).get();
        assertEquals(next?.payload, "next");
        await next?.ack();
        await held?.ack();
        assert(await connection.native(nativeClient) === native);
        const { rows } = await withClient(
          url,
          (client) => client.query(`SELECT last_value FROM ${schema}.refused`),
        );
        assert(Number(rows[0]?.last_value) > 2, "nothing was refused");
      }));
  }
}

test("of publishes that leave together the one that is refused fails alone, by the true reason", (url) =>
  withSchema(url, async (own, schema) => {
    await using connection = createConnection(own);
    const queue = new Queue<string>(unique("refused"));
    await connection.declare(queue);
    const native = await connection.native(nativeClient);
    await withClient(
      url,
      (client) =>
        client.query(
          `ALTER TABLE ${schema}.places ADD CONSTRAINT unlucky CHECK (size <> 13)`,
        ),
    );
    const lengths = Array.from({ length: 20 }, (_, i) => i + 1);
    const results = await Promise.allSettled(
      lengths.map((length) => connection.send(queue, "x".repeat(length))),
    );
    const failed = results.flatMap((each, i) =>
      each.status === "rejected" ? [`${i + 1}: ${each.reason.message}`] : []
    );
    assertEquals(failed.length, 1, failed.join("\n"));
    assert(/^13: .*unlucky.*23514/.test(failed[0] ?? ""), failed[0]);
    assertEquals((await connection.queueStatus(queue)).messageCount, 19);
    assert(await connection.native(nativeClient) === native);
  }));

test("tables that are emptied, or dropped and made anew by another, put no message into a wrong queue", (url) =>
  withSchema(url, async (own, schema) => {
    await using connection = createConnection(own);
    const [one, two] = [new Queue<string>("one"), new Queue<string>("two")];
    await connection.send(one, "gone");
    for (
      const sql of [
        `TRUNCATE ${schema}.meta, ${schema}.topology, ${schema}.queues, ${schema}.messages, ${schema}.places RESTART IDENTITY`,
        `DROP SCHEMA ${schema} CASCADE`,
      ]
    ) {
      await withClient(url, (client) => client.query(sql));
      // Whoever connects first makes them, and its queue has the number of the other's.
      await using other = createConnection(own);
      await other.declare(two);
      await connection.send(one, "here");
      assertEquals((await other.queueStatus(two)).messageCount, 0);
      const message = await other.queue(one).get();
      assertEquals(message?.payload, "here");
      await message?.ack();
      await other.delete(two);
    }
  }));

for (
  const [table, column] of [
    ["places"],
    ["messages"],
    ["topology"],
    ["places", "size"],
    ["messages", "head"],
    ["meta", "changes"],
  ] as const
) {
  const what = column === undefined
    ? `a table that is missing (${table})`
    : `a column that is missing (${table}.${column})`;
  test(`${what} is named, and the connection goes on when it is back`, (url) =>
    withSchema(url, async (own, schema) => {
      const told: string[] = [];
      const noted = Promise.withResolvers<void>();
      await using connection = createConnection(own, {
        onUnhandled: (event) => {
          if (event.type !== "state" || event.state.type !== "waiting") return;
          told.push(event.state.error.message);
          noted.resolve();
        },
      });
      const queue = new Queue<string>("kept");
      await connection.send(queue, table);
      const rename = (from: string, to: string) =>
        withClient(url, (client) =>
          client.query(
            column === undefined
              ? `ALTER TABLE ${schema}.${from} RENAME TO ${to}`
              : `ALTER TABLE ${schema}.${table} RENAME COLUMN ${from} TO ${to}`,
          ));
      await rename(column ?? table, "away");
      // Whoever uses what is missing finds it out.
      connection.send(queue, "meanwhile").catch(() => {});
      connection.declare(new Queue("another")).catch(() => {});
      await noted.promise;
      await rename("away", column ?? table);
      await using other = createConnection(own);
      await other.connect();
      const message = await other.queue<string>(queue.name).receive({
        wait: 10_000,
        max: 1,
      });
      assertEquals(message.length, 1);
      await connection.connect();
      const name = column === undefined ? table : `${table}.${column}`;
      // As often as it tried.
      for (const why of told) {
        assert(why.includes(`${schema}".${name}`), why);
        assert(why.includes("put it back"), why);
      }
      await connection.delete(queue);
    }));
}

test("a trigger of the user's that wants a table which is not there refuses its statement alone", (url) =>
  withSchema(url, async (own, schema) => {
    await using connection = createConnection(own);
    const queue = new Queue<string>("kept");
    await connection.send(queue, "held");
    const held = await connection.queue(queue).get();
    const native = await connection.native(nativeClient);
    await withClient(url, (client) =>
      client.query(
        `CREATE FUNCTION ${schema}.audit() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN
            INSERT INTO ${schema}.nowhere VALUES (1);
            RETURN NULL;
          END $$;
        CREATE TRIGGER audit AFTER INSERT ON ${schema}.messages
          FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.audit()`,
      ));
    const error = await connection.send(queue, "next").catch((each) => each);
    assertEquals(error.code, "precondition-failed");
    assert(error.message.includes("nowhere"), error.message);
    await held?.ack();
    assert(await connection.native(nativeClient) === native);
  }));

test("what others notify of does not keep a consumer from what comes", async (url) => {
  await using connection = createConnection(url);
  const queue = new Queue<string>(unique("noise"));
  await connection.declare(queue);
  const consumer = connection.consumer(queue);
  const next = consumer[Symbol.asyncIterator]().next();
  for (const text of ["garbage", "NaN,x@NaN", "-1,0@-99", "1e999@1e999", "@"]) {
    await withClient(
      url,
      (client) => client.query("SELECT pg_notify('dashi', $1)", [text]),
    );
  }
  await connection.send(queue, "comes");
  const { value } = await next;
  assertEquals(value?.payload, "comes");
  await value?.ack();
  await consumer.cancel();
  await connection.delete(queue);
});

/** Lends a user of a schema, whose sessions begin with a setting. */
async function withUser(
  url: string,
  schema: string,
  setting: string,
  run: (role: string) => Promise<void>,
): Promise<void> {
  const role = unique("role").replaceAll("-", "_");
  await withClient(url, (client) =>
    client.query(
      `CREATE ROLE ${role} LOGIN;
        ALTER ROLE ${role} SET ${setting};
        GRANT ALL ON SCHEMA ${schema} TO ${role};
        GRANT ALL ON ALL TABLES IN SCHEMA ${schema} TO ${role};
        GRANT ALL ON ALL SEQUENCES IN SCHEMA ${schema} TO ${role}`,
    ));
  try {
    await run(role);
  } finally {
    await withClient(
      url,
      (client) => client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`),
    );
  }
}

function asUser(url: string, role: string): string {
  const at = new URL(url);
  at.username = role;
  return String(at);
}

test("a user whose transactions are serializable by default sees what is there when a lock is had", (url) =>
  withSchema(url, async (own, schema) => {
    await using connection = createConnection(own);
    const queue = new Queue<string>("level");
    await connection.declare(queue);
    await withClient(url, (client) =>
      client.query(
        `ALTER TABLE ${schema}.places ADD CONSTRAINT level
          CHECK (current_setting('transaction_isolation') = 'read committed')`,
      ));
    const setting = "default_transaction_isolation = 'serializable'";
    await withUser(url, schema, setting, async (role) => {
      await using other = createConnection(asUser(own, role));
      await other.send(queue, "here");
      const message = await other.queue(queue).get();
      assertEquals(message?.payload, "here");
      await message?.ack();
    });
  }));

test("a server that takes no writes cannot be connected to, and is said to be such", (url) =>
  withSchema(url, async (own, schema) => {
    await using connection = createConnection(own);
    await connection.connect();
    const setting = "default_transaction_read_only = on";
    await withUser(url, schema, setting, async (role) => {
      await using other = createConnection(asUser(own, role), {
        reconnect: false,
      });
      const error = await rejectsWith(other.connect(), "connection-failed");
      assert(/^Cannot connect .*read-only/.test(error.message), error.message);
    });
  }));
