import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { createOutbox, type OutboxEvent } from "@dashi/mq/outbox";
import { nativeClient } from "@dashi/mq/postgres";
import {
  arrives,
  rejectsWith,
  unique,
  until,
} from "../../conformance/support.ts";
import { test, withClient, withSchema } from "../../support/postgres_client.ts";
import { killProcesses } from "../../support/process_kills.ts";
import { Proxy } from "../../support/proxy.ts";

test(
  "producers and consumers are killed: all that was confirmed arrives, and only what was in hand comes again (rows 3, 6)",
  killProcesses,
);

test("schemas are brokers of their own, and one of another layout is refused for good", (url) =>
  withSchema(url, async (own, schema) => {
    const queue = new Queue(unique("queue"));
    await using usual = createConnection(url);
    await usual.connect();
    {
      await using connection = createConnection(own);
      await connection.send(queue, 1);
      await rejectsWith(usual.queueStatus(queue.name), "not-found");
      const native = await connection.native(nativeClient);
      await native.query(`UPDATE ${schema}.meta SET layout = 99`);
    }
    await using later = createConnection(own);
    await rejectsWith(later.connect(), "precondition-failed", "layout 99");
  }));

test("processes that connect first at once make the tables once", (url) =>
  withSchema(url, async (own) => {
    const all = Array.from({ length: 4 }, () => createConnection(own));
    await Promise.all(all.map((each) => each.connect()));
    await Promise.all(all.map((each) => each.close()));
  }));

test("a database that is not there, and a schema that is no name, are refused for good", async (url) => {
  await using missing = createConnection(url.replace(/[^/]*$/, "dashi_none"));
  await rejectsWith(missing.connect(), "not-found", "dashi_none");
  await using bad = createConnection(`${url}?schema=Dashi-1`);
  await rejectsWith(bad.connect(), "option-invalid", "schema");
});

test("a take that is committed when its connection counts as gone comes again", (url) =>
  withSchema(url, async (own, schema) => {
    const queue = new Queue(unique("late"));
    await using connection = createConnection(own);
    await connection.declare(queue);
    const producer = connection.producer({ queue });
    await producer.publishAll(["first", "second"]);
    const first = await connection.queue(queue).get();
    assertEquals(first?.payload, "first");
    await withClient(url, async (client) => {
      const { rows: [{ holder } = {}] } = await client.query(
        `SELECT holder FROM ${schema}.places WHERE holder IS NOT NULL`,
      );
      // The server has not come to its COMMIT yet.
      await client.query("BEGIN");
      await client.query(
        `UPDATE ${schema}.places SET state = 1, holder = $1 WHERE state = 0`,
        [holder],
      );
      await withClient(url, (other) =>
        other.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND query LIKE '%' || $1 || '%'
              AND state = 'idle'`,
          [schema],
        ));
      const again = await connection.queue(queue).receive({
        max: 1,
        wait: 30_000,
      });
      assertEquals(again.map(({ payload }) => payload), ["first"]);
      await client.query("COMMIT");
      // Its time is over.
      await client.query(`UPDATE ${schema}.holders SET until = 0 WHERE id < 0`);
    });
    const late = await connection.queue(queue).receive({
      max: 1,
      wait: 30_000,
    });
    assertEquals(late.map(({ payload }) => payload), ["second"]);
  }));

test("a consumer hears of what another connection publishes long before it looks by itself", async (url) => {
  const queue = new Queue(unique("heard"));
  await using consuming = createConnection(`${url}?poll=600000`);
  await using publishing = createConnection(url);
  await consuming.declare(queue);
  const consumer = consuming.consumer(queue);
  const next = consumer[Symbol.asyncIterator]().next();
  await publishing.connect();
  for (;;) {
    const { consumers } = await publishing.inspect().queue(queue);
    if (consumers === 1) break;
  }
  await publishing.send(queue, "heard");
  const { value } = await next;
  assertEquals(value?.payload, "heard");
  await value?.ack();
  await consumer.cancel();
  await publishing.delete(queue);
});

test("a NUL in a name, a key and an id costs no connection", async (url) => {
  await using connection = createConnection(url);
  const queue = new Queue(`${unique("nul")}\0`, { ordered: true });
  await connection.declare(queue);
  const native = await connection.native(nativeClient);
  await connection.send(queue, 1, {
    key: "a\0b",
    messageId: "c\0d",
    delay: 1,
  });
  let message = await connection.queue(queue.name).get();
  while (message === undefined) {
    message = await connection.queue(queue.name).get();
  }
  assertEquals(message.payload, 1);
  await message.ack();
  await connection.delete(queue);
  assert(await connection.native(nativeClient) === native);
});

test("a connection that has fallen silent is lost after two heartbeats, and the publish that waits arrives by another", async (url) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    heartbeat: 1000,
    operationTimeout: 60_000,
  });
  const queue = new Queue<number>(unique("silent"));
  await connection.send(queue, 1);
  // As a router does that forgot them: new ones are well.
  const sockets = proxy.accepted;
  for (let i = 1; i <= sockets; i++) proxy.stallOne(i);
  await connection.send(queue, 2);
  assert(proxy.accepted > sockets);
  assertEquals((await connection.queueStatus(queue)).messageCount, 2);
  await connection.delete(queue.name);
});

test("a machine that is gone in the middle of a take, or of a declaration, holds up others for half a lease", (url) =>
  withSchema(url, async (own, schema) => {
    const queue = new Queue<number>(unique("gone"), { ordered: true });
    await using other = createConnection(own);
    await other.send(queue, 1, { key: "a" });
    const verbs: ((gone: Connection) => Promise<unknown>)[] = [
      (gone) => gone.queue(queue).get(),
      (gone) => gone.declare(new Queue(unique("new"))),
    ];
    for (const verb of verbs) {
      await using proxy = Proxy.to(url);
      await using gone = createConnection(
        `${proxy.urlOf(own)}&visibility_timeout=10`,
        { heartbeat: 0, operationTimeout: 120_000, onUnhandled: () => {} },
      );
      await gone.declare(queue);
      await withClient(url, async (client) => {
        await client.query("BEGIN");
        await client.query(
          `LOCK TABLE ${schema}.lanes, ${schema}.topology IN EXCLUSIVE MODE`,
        );
        verb(gone).catch(() => {});
        await until(async () => {
          const { rows } = await client.query(
            `SELECT 1 FROM pg_locks
              WHERE NOT granted AND relation = ANY ($1::regclass[])`,
            [[`${schema}.lanes`, `${schema}.topology`]],
          );
          return rows.length > 0;
        }, "a transaction that waits");
        // From now on nothing is heard of it, and it hears nothing.
        proxy.stall();
        await client.query("COMMIT");
      });
      const message = await arrives(other.queue(queue).get(), "a message");
      assertEquals(message?.payload, 1);
      await message?.requeue();
    }
  }));

test("what two connections put back out of the quarantine at once comes once", (url) =>
  withSchema(url, async (own, schema) => {
    const queue = new Queue(unique("aside"));
    await using one = createConnection(own);
    await using other = createConnection(own);
    const count = 40;
    for (let i = 0; i < count; i++) await one.send(queue, i);
    const native = await one.native(nativeClient);
    await native.query(`UPDATE ${schema}.places SET state = 3`);
    await other.connect();
    const counts = await Promise.all(
      [one, other].map((each) => each.quarantine(queue.name).putBack()),
    );
    const { messageCount } = await one.queueStatus(queue);
    const sum = counts.reduce((all, each) => all + each, 0);
    assertEquals([sum, messageCount], [count, count]);
  }));

test("a message that is larger than maxResponseSize cuts no connection, and waits in the quarantine with its bytes", (url) =>
  withSchema(url, async (own) => {
    const most = 2 ** 20;
    await using connection = createConnection(own, {
      maxResponseSize: most,
      onUnhandled: () => {},
    });
    const native = await connection.native(nativeClient);
    const ways = [{}, { ordered: true }, { maxLength: 10 }];
    const queues = ways.map((way) => new Queue<string>(unique("large"), way));
    const large = "x".repeat(most / 2);
    for (const queue of queues) {
      await connection.send(queue, "before");
      await connection.send(queue, large);
      await connection.send(queue, large, { delay: 1 });
      await connection.send(queue, "after");
      const payloads: string[] = [];
      const consumer = connection.consumer(queue);
      const quarantine = connection.quarantine(queue);
      const running = consumer.run(({ payload }) =>
        void payloads.push(payload)
      );
      await until(
        async () =>
          payloads.length === 2 && (await quarantine.list()).length === 2,
        "the small ones, and two in the quarantine",
      );
      await consumer.cancel();
      await running;
      assertEquals(payloads, ["before", "after"]);
      const [one] = await quarantine.list();
      assert(
        one?.malformed?.message.includes("maxResponseSize"),
        `${one?.malformed}`,
      );
    }
    assert(await connection.native(nativeClient) === native);
    await using other = createConnection(own);
    for (const queue of queues) {
      assertEquals(await other.quarantine(queue).putBack(), 2);
      for (let i = 0; i < 2; i++) {
        const message = await other.queue(queue).get();
        assertEquals(message?.payload.length, large.length);
        await message?.ack();
      }
    }
  }));

test("a row of an outbox that is larger than maxResponseSize cuts no connection, and is published by who may read it", (url) =>
  withSchema(url, async (own) => {
    const most = 2 ** 20;
    const queue = new Queue<string>(unique("large"));
    const large = "x".repeat(most / 2);
    const writer = createConnection(own);
    await withClient(url, async (client) => {
      await writer.connect();
      await client.query("BEGIN");
      const outbox = createOutbox(writer);
      for (const payload of ["before", large]) {
        await outbox.publish(payload, { queue, transaction: client });
      }
      await client.query("COMMIT");
    });
    await writer.close();
    await using broker = createConnection(`memory://${unique("outbox")}`);
    const consumer = broker.consumer(queue);
    const relay = async (
      maxResponseSize: number,
      until: (event: OutboxEvent) => boolean,
    ) => {
      await using database = createConnection(own, { maxResponseSize });
      const native = await database.native(nativeClient);
      const end = new AbortController();
      await createOutbox(database).relay(broker, {
        declare: [queue],
        signal: end.signal,
        onEvent: (event) => until(event) && end.abort(),
      });
      assert(await database.native(nativeClient) === native);
    };
    const failures: string[] = [];
    await relay(most, (event) => {
      if (event.type === "failed") failures.push(event.error.message);
      return failures.length === 2;
    });
    for (const message of failures) {
      assert(message.includes("maxResponseSize"), message);
    }
    let published = 0;
    await relay(4 * most, (event) => {
      if (event.type === "published") published += event.messageIds.length;
      return published === 1;
    });
    const payloads: string[] = [];
    await consumer.run(async ({ payload }) => {
      if (payloads.push(payload) === 2) await consumer.cancel();
    });
    assertEquals(payloads, ["before", large]);
  }));
