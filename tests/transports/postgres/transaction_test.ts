import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue, type SqlTransaction } from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { drizzle } from "drizzle-orm/node-postgres";
import { sql as drizzleSql } from "drizzle-orm";
import { CompiledQuery, Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import postgres from "postgres";
import { arrives, rejectsWith, unique } from "../../conformance/support.ts";
import { takeFrom } from "../../messaging/outbox/databases.ts";
import { Proxy } from "../../support/proxy.ts";
import { test, withClient } from "../../support/postgres_client.ts";
import { withShop } from "../../support/postgres_shop.ts";

/** A way of users to make transactions: an insert of theirs, and what is published beside it. */
type Way = (
  url: string,
  insert: string,
  work: (transaction: SqlTransaction) => Promise<void>,
) => Promise<void>;

const WAYS: Readonly<Record<string, Way>> = {
  "postgres.js": async (url, insert, work) => {
    const sql = postgres(url, { onnotice: () => {} });
    try {
      await sql.begin(async (transaction) => {
        await transaction.unsafe(insert);
        await work(transaction);
      });
    } finally {
      await sql.end();
    }
  },
  "a pool of pg": async (url, insert, work) => {
    const pool = new pg.Pool({ connectionString: url });
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      await client.query(insert);
      await work(client);
      await client.query("COMMIT");
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    } finally {
      client.release();
      await pool.end();
    }
  },
  Kysely: async (url, insert, work) => {
    const db = new Kysely<Record<string, never>>({
      dialect: new PostgresDialect({
        pool: new pg.Pool({ connectionString: url }),
      }),
    });
    try {
      await db.transaction().execute(async (tx) => {
        await tx.executeQuery(CompiledQuery.raw(insert));
        await work({
          query: (text, values) =>
            tx.executeQuery(CompiledQuery.raw(text, values)),
        });
      });
    } finally {
      await db.destroy();
    }
  },
  Drizzle: async (url, insert, work) => {
    const pool = new pg.Pool({ connectionString: url });
    try {
      await drizzle(pool).transaction(async (tx) => {
        await tx.execute(drizzleSql.raw(insert));
        await work({
          query: (text, values) =>
            tx.execute(drizzleSql.join(
              text.split(/\$\d+/).flatMap((part, i) =>
                i === 0
                  ? [drizzleSql.raw(part)]
                  : [drizzleSql`${values[i - 1]}`, drizzleSql.raw(part)]
              ),
            )),
        });
      });
    } finally {
      await pool.end();
    }
  },
};

for (const [name, way] of Object.entries(WAYS)) {
  test(`by ${name} a row and a message are both there, or neither`, (url) =>
    withShop(url, async ({ connection, queue, table, client }) => {
      const insert = `INSERT INTO ${table} VALUES (7)`;
      const outbox = createOutbox(connection, { name: table });
      await assertRejects(
        () =>
          way(url, insert, async (transaction) => {
            await connection.send(queue, "never", { transaction });
            await outbox.publish("never", { queue, transaction });
            throw new Error("rolled back");
          }),
        Error,
        "rolled back",
      );
      assertEquals((await connection.declare(queue)).messageCount, 0);
      assertEquals((await client.query(`TABLE ${table}`)).rows.length, 0);
      await way(url, insert, async (transaction) => {
        const payload = { id: 7, "a$1": "?" };
        await connection.send(queue, payload, { transaction });
        await Promise.all(
          ["", payload].map((each) =>
            outbox.publish(each, { queue, transaction })
          ),
        );
      });
      assertEquals((await outbox.status()).count, 2);
      assertEquals((await client.query(`TABLE ${table}`)).rows.length, 1);
      const message = await connection.queue(queue).get();
      assertEquals(message?.payload, { id: 7, "a$1": "?" });
      await message?.ack();
    }));
}

test("a client that is in no transaction is refused, and so is a pool, and nothing is put", (url) =>
  withShop(url, async ({ connection, queue, client }) => {
    const pool = new pg.Pool({ connectionString: url });
    try {
      for (const transaction of [client as SqlTransaction, pool]) {
        await rejectsWith(
          connection.send(queue, 1, { transaction }),
          "option-invalid",
          "no transaction",
        );
      }
    } finally {
      await pool.end();
    }
    assertEquals((await connection.declare(queue)).messageCount, 0);
  }));

test("while the connection is lost a transaction is told to roll back, at once, and none waits", (url) =>
  withShop(url, async ({ connection, queue, client }) => {
    const transaction = client as SqlTransaction;
    await using proxy = Proxy.to(url);
    await using cut = createConnection(proxy.urlOf(url), {
      onUnhandled: () => {},
      reconnect: { initialDelay: 10, maxDelay: 10 },
    });
    await cut.declare(queue);
    const outbox = createOutbox(cut, { name: queue.name });
    const losing = (async () => {
      for await (const { type } of cut.events()) {
        if (type === "lost") break;
      }
    })();
    proxy.hangUp();
    await arrives(losing, "the loss");
    await client.query("BEGIN");
    const refuses = (publishing: Promise<unknown>) =>
      rejectsWith(publishing, "connection-lost", "roll back");
    await refuses(cut.send(queue, 1, { transaction }));
    await refuses(cut.send(queue.name, 2, { transaction }));
    await refuses(outbox.publish(3, { queue, transaction }));
    await client.query("ROLLBACK");
    proxy.heal();
    await cut.connect();
    await client.query("BEGIN");
    await cut.send(queue, 4, { transaction });
    await client.query("COMMIT");
    assertEquals((await connection.declare(queue)).messageCount, 1);
  }));

test("rows of an outbox that are written at once are one statement, in their order; one after another, one each", (url) =>
  withShop(url, async ({ connection, queue, client }) => {
    const outbox = createOutbox(connection, { name: unique("outbox") });
    let asked = 0;
    const transaction: SqlTransaction = {
      query: (text, values) => {
        asked++;
        return client.query(text, values);
      },
    };
    const options = { queue, transaction, messageId: "é 1\n" };
    const other = createOutbox(connection, { name: unique("outbox") });
    const began = async (work: () => Promise<unknown>) => {
      asked = 0;
      await client.query("BEGIN");
      await work();
      await client.query("COMMIT");
      return asked;
    };
    const bodies = Array.from(
      { length: 20 },
      (_, i) => new Uint8Array(i === 7 ? 70_000 : i % 3).fill(i),
    );
    const together = () =>
      Promise.all(bodies.map((each) => outbox.publish(each, options)));
    assertEquals(await began(together), 2);
    const apart = () =>
      Promise.all([outbox, other].map((each) => each.publish("", options)));
    assertEquals(await began(apart), 3);
    assertEquals((await other.status()).count, 1);
    // Which transaction it is the first of them finds out.
    const small = bodies.slice(0, 3);
    assertEquals(
      await began(async () => {
        for (const each of small) await outbox.publish(each, options);
      }),
      1 + small.length,
    );
    // What was asked in the last transaction is no part of one.
    for (const each of [bodies[1], bodies[7]]) {
      await rejectsWith(
        outbox.publish(each, options),
        "option-invalid",
        "no transaction",
      );
    }
    const all = [...bodies, new Uint8Array(), ...small];
    assertEquals((await outbox.status()).count, all.length);
    await using broker = createConnection(`memory://${unique("outbox")}`);
    await broker.declare(queue);
    const end = new AbortController();
    const relaying = outbox.relay(broker, { signal: end.signal });
    for (const each of all) {
      const [message] = await arrives(
        takeFrom(broker.consumer(queue), 1),
        "a message",
      );
      assertEquals(message?.body, each);
      assertEquals(message?.properties.messageId, options.messageId);
    }
    end.abort();
    await arrives(relaying, "the end of the relay");
  }));

test("a transaction of another database, or of another schema, is refused", (url) =>
  withShop(url, async ({ connection, queue }) => {
    await withClient(url.replace(/[^/]*$/, "postgres"), async (client) => {
      await client.query("BEGIN");
      await rejectsWith(
        connection.send(queue, 1, { transaction: client as SqlTransaction }),
        "option-invalid",
        "another database",
      );
      await client.query("ROLLBACK");
    });
  }));

test("a user without the rights to our tables is told which he needs", (url) =>
  withShop(url, async ({ connection, queue, client }) => {
    const role = unique("role").replaceAll("-", "_");
    await client.query(`CREATE ROLE ${role}`);
    try {
      await client.query("BEGIN");
      await client.query(`SET LOCAL ROLE ${role}`);
      await rejectsWith(
        connection.send(queue, 1, { transaction: client as SqlTransaction }),
        "precondition-failed",
        "right to use our schema",
      );
      await client.query("ROLLBACK");
      // With them it publishes.
      await client.query("BEGIN");
      await client.query(`GRANT USAGE ON SCHEMA dashi TO ${role}`);
      for (const kind of ["TABLES", "SEQUENCES"]) {
        const rights = kind === "TABLES" ? "SELECT, INSERT" : "USAGE";
        await client.query(
          `GRANT ${rights} ON ALL ${kind} IN SCHEMA dashi TO ${role}`,
        );
      }
      await client.query(`SET LOCAL ROLE ${role}`);
      await connection.send(queue, 1, {
        transaction: client as SqlTransaction,
      });
      await client.query("COMMIT");
      assertEquals((await connection.declare(queue)).messageCount, 1);
    } finally {
      await client.query(`DROP OWNED BY ${role}`);
      await client.query(`DROP ROLE ${role}`);
    }
  }));

test("nobody waits for a transaction that is open: others connect, declare, publish, take and delete", (url) =>
  withShop(url, async ({ connection, queue, client }) => {
    const transaction = client as SqlTransaction;
    const ordered = new Queue(unique("ordered"), { ordered: true });
    await connection.declare(ordered);
    await client.query("BEGIN");
    await connection.send(queue, "open", { transaction });
    await connection.send(ordered, "open", { key: "a", transaction });
    await using other = createConnection(url);
    for (const each of [queue, ordered]) {
      const options = each === ordered ? { key: "a" } : {};
      await other.send(each, "other", options);
      const message = await other.queue(each).get();
      assertEquals(message?.payload, "other");
      await message?.ack();
    }
    const gone = new Queue(unique("gone"));
    await other.declare(gone);
    await other.queue(gone).delete();
    await other.queue(ordered).delete();
    await client.query("COMMIT");
    const message = await other.queue(queue).get();
    assertEquals(message?.payload, "open");
    await message?.ack();
    // What was committed into a queue that is no more goes when the next one connects.
    await using next = createConnection(url);
    await next.connect();
    const { rows } = await client.query(
      "SELECT 1 FROM dashi.places WHERE queue NOT IN (SELECT id FROM dashi.queues)",
    );
    assertEquals(rows, []);
  }));

test("a transaction that sees less than others do publishes to what is there now", (url) =>
  withShop(url, async ({ connection, queue, client }) => {
    const transaction = client as SqlTransaction;
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await client.query("SELECT 1");
    const later = new Queue(unique("later"));
    await connection.declare(later);
    await client.query("SAVEPOINT before");
    await connection.send(queue, "both", { transaction });
    // To a queue that was declared since: it is not there for this transaction, or it is.
    const outcome = await connection.send(later, "both", { transaction })
      .then(() => "put", (error) => error.code);
    await client.query("COMMIT");
    assert(["put", "message-unroutable"].includes(outcome), String(outcome));
    assertEquals((await connection.declare(queue)).messageCount, 1);
    const { messageCount } = await connection.declare(later);
    assertEquals(messageCount, outcome === "put" ? 1 : 0);
    await connection.queue(later).delete();
  }));
