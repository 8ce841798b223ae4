import { assert, assertEquals } from "@std/assert";
import {
  binding,
  type Connection,
  createConnection,
  Exchange,
  Queue,
  type SqlTransaction,
} from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { take } from "../../conformance/stage.ts";
import { rejectsWith, unique } from "../../conformance/support.ts";
import {
  test,
  type TestClient,
  withSchema,
} from "../../support/postgres_client.ts";
import { withShop } from "../../support/postgres_shop.ts";

/** A transaction of a client, which counts its statements, and how many are under way. */
function counted(client: TestClient): {
  readonly transaction: SqlTransaction;
  /** Says how many there were since it was asked last. */
  count(): number;
  /** The most that were under way at once. */
  readonly most: number;
} {
  let [asked, underWay, most] = [0, 0, 0];
  return {
    transaction: {
      query: async (text, values) => {
        asked++;
        most = Math.max(most, ++underWay);
        try {
          return await client.query(text, values);
        } finally {
          underWay--;
        }
      },
    },
    count: () => {
      const before = asked;
      asked = 0;
      return before;
    },
    get most() {
      return most;
    },
  };
}

/** Takes all that is in a queue. */
async function payloadsOf(
  connection: Connection,
  queue: Queue,
): Promise<readonly unknown[]> {
  const { messageCount } = await connection.queueStatus(queue);
  const consumer = connection.consumer(queue, { autoAck: true });
  const taken = await take(consumer, messageCount);
  return taken.map(({ payload }) => payload);
}

test("a publish in a transaction is one statement, and so are those of one moment", (server) =>
  // What others declare meanwhile is in another schema.
  withSchema(
    server,
    (url) =>
      withShop(url, async ({ connection, queue, table, client }) => {
        const { transaction, count } = counted(client);
        const send = (payload: unknown) =>
          connection.send(queue, payload, { transaction });
        await client.query("BEGIN");
        await client.query(`INSERT INTO ${table} VALUES (1)`);
        // Declarations are read once.
        await send(0);
        count();
        await send(1);
        assertEquals(count(), 1);
        await client.query("COMMIT");
        await client.query("BEGIN");
        await client.query(`INSERT INTO ${table} VALUES (2)`);
        await send(2);
        assertEquals(count(), 1);
        await Promise.all([3, 4, 5].map(send));
        assertEquals(count(), 1);
        await client.query("COMMIT");
        // One that has written nothing yet has no number by which it is known.
        await client.query("BEGIN");
        await send(6);
        assertEquals(count(), 2);
        await send(7);
        assertEquals(count(), 1);
        await client.query("COMMIT");
        await rejectsWith(send(8), "option-invalid", "no transaction");
        assertEquals(await payloadsOf(connection, queue), [
          0,
          1,
          2,
          3,
          4,
          5,
          6,
          7,
        ]);
      }),
  ));

test("what is published at once in a transaction fails alone where it has no queue, and large and many arrive in order", (url) =>
  withShop(url, async ({ connection, queue, table, client }) => {
    const { transaction, count } = counted(client);
    const fanout = new Exchange(unique("fanout"), { type: "fanout" });
    const bindings = [binding(fanout, "")];
    const copy = new Queue(unique("copy"), { bindings });
    for (const each of [copy, new Queue(queue.name, { bindings })]) {
      await connection.declare(each);
    }
    await client.query("BEGIN");
    await client.query(`INSERT INTO ${table} VALUES (1)`);
    await connection.send(queue, "first", { transaction });
    count();
    const nowhere = connection.send("no such queue", 0, { transaction });
    const text = (i: number) => `${i} é\n`.repeat(i % 50 === 0 ? 1000 : i % 3);
    const all = Array.from({ length: 600 }, (_, i) => text(i));
    const producer = connection.producer({ exchange: fanout });
    const publishing = all.map((each) =>
      producer.publish(each, { transaction })
    );
    await rejectsWith(nowhere, "message-unroutable");
    await Promise.all(publishing);
    assert(count() < 30); // of 600
    await client.query("COMMIT");
    assertEquals(await payloadsOf(connection, copy), all);
    assertEquals(await payloadsOf(connection, queue), ["first", ...all]);
    await connection.queue(copy).delete();
    await connection.delete(fanout);
  }));

test("a transaction publishes by declarations that others have changed since it was asked last", (url) =>
  withShop(url, async ({ connection, queue, table, client }) => {
    const { transaction } = counted(client);
    await using other = createConnection(url);
    await client.query("BEGIN");
    await client.query(`INSERT INTO ${table} VALUES (1)`);
    await connection.send(queue, 0, { transaction });
    const topic = new Exchange(unique("topic"), { type: "topic" });
    const later = new Queue(unique("later"));
    const bindings = [binding(topic, "a")];
    await other.declare(later);
    await other.declare(new Queue(queue.name, { bindings }));
    // By the last look there is neither.
    await connection.send(later.name, 1, { transaction });
    await other.declare(new Queue(later.name, { bindings }));
    const producer = connection.producer({ exchange: topic.name });
    const publish = (payload: number) =>
      producer.publish(payload, { routingKey: "a", transaction });
    await Promise.all([2, 3, 4].map(publish));
    await other.queue(later).delete();
    await rejectsWith(
      connection.send(later.name, 5, { transaction }),
      "message-unroutable",
    );
    await publish(6);
    await client.query("COMMIT");
    assertEquals(await payloadsOf(connection, queue), [0, 2, 3, 4, 6]);
    await connection.delete(topic);
  }));

test("a client of the user's is asked for one statement at a time, whoever writes", (url) =>
  withShop(url, async ({ connection, queue, client }) => {
    const wrapped = counted(client);
    const { transaction } = wrapped;
    await using other = createConnection(url);
    await other.declare(queue);
    const outbox = createOutbox(connection, { name: queue.name });
    await client.query("BEGIN");
    await Promise.all([1, 2, 3].flatMap((each) => [
      connection.send(queue, each, { transaction }),
      other.send(queue, each, { transaction }),
      outbox.publish(each, { queue, transaction }),
    ]));
    await client.query("COMMIT");
    assertEquals(wrapped.most, 1);
    assertEquals((await payloadsOf(connection, queue)).length, 6);
    assertEquals((await outbox.status()).count, 3);
  }));
