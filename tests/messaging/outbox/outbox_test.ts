import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue, type SqlTransaction } from "@dashi/mq";
import { createOutbox, type OutboxEvent } from "@dashi/mq/outbox";
import {
  arrives,
  rejectsWith,
  unique,
  until,
} from "../../conformance/support.ts";
import { takeFrom, test } from "./databases.ts";

test("what commits is published in its order, under the ids that publish() told; what rolls back is not", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database);
  const queue = new Queue(unique("orders"));
  const ids: string[] = [];
  for (let i = 0; i < 30; i += 3) {
    await shop.transact(async (transaction) => {
      for (const each of [i, i + 1, i + 2]) {
        ids.push(await outbox.publish(each, { queue, transaction }));
      }
    });
    await assertRejects(() =>
      shop.transact(async (transaction) => {
        await outbox.publish("never", { queue, transaction });
        throw new Error("rolled back");
      })
    );
  }
  const before = await outbox.status();
  assertEquals(before.count, 30);
  assert((before.oldestAge ?? -1) >= 0);

  await using broker = createConnection(`memory://${unique("outbox")}`);
  const end = new AbortController();
  const events: OutboxEvent["type"][] = [];
  const relaying = outbox.relay(broker, {
    declare: [queue],
    signal: end.signal,
    onEvent: ({ type }) => events.push(type),
  });
  const first = await arrives(takeFrom(broker.consumer(queue), 30), "30");
  assertEquals(
    first.map(({ payload }) => payload),
    Array.from({ length: 30 }, (_, i) => i),
  );
  assertEquals(first.map(({ properties }) => properties.messageId), ids);
  // It hears of what commits now.
  await shop.transact((transaction) =>
    outbox.publish("later", { queue, transaction })
  );
  const [later] = await arrives(takeFrom(broker.consumer(queue), 1), "later");
  assertEquals(later?.payload, "later");
  await until(async () => (await outbox.status()).count === 0, "no rows");
  end.abort();
  await arrives(relaying, "the end of the relay");
  assertEquals(await outbox.status(), { count: 0, oldestAge: undefined });
  assertEquals(events[0], "relaying");
  assertEquals(new Set(events.slice(1)), new Set(["published"]));
});

test("large messages are read a few at a time, however many may be on their way", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database);
  const queue = new Queue(unique("orders"));
  for (const size of [17_000_000, 1, 1]) {
    await shop.transact((transaction) =>
      outbox.publish(new Uint8Array(size), { queue, transaction })
    );
  }
  await using broker = createConnection(`memory://${unique("outbox")}`);
  await broker.declare(queue);
  const end = new AbortController();
  const counts: number[] = [];
  let total = 0;
  await arrives(
    outbox.relay(broker, {
      signal: end.signal,
      onEvent: (event) => {
        if (event.type !== "published") return;
        counts.push(event.messageIds.length);
        total += event.messageIds.length;
        if (total >= 3) end.abort();
      },
    }),
    "the end of the relay",
  );
  assertEquals(counts, [1, 2]);
});

test("a message comes out of an outbox with all that it was published with", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database, { name: "é\u{1F600}" });
  await using broker = createConnection(`memory://${unique("outbox")}`);
  const queue = new Queue(unique("orders"), { maxPriority: 9 });
  const timestamp = new Date(1_700_000_000_000);
  const headers = {
    a: 1,
    nested: { "b'\"": [true, null, "\u0000"] },
    timestamp,
  };
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  await shop.transact(async (transaction) => {
    await outbox.publish({ id: 7 }, {
      queue,
      transaction,
      headers,
      timestamp,
      key: "customer",
      priority: 5,
      type: "order",
      correlationId: "c",
      replyTo: "replies",
      appId: "shop",
      expiration: 600_000,
      persistent: false,
      compression: "gzip",
      messageId: "order-7",
    });
    await outbox.publish(bytes, { queue, transaction, contentType: "a/b" });
  });
  const end = new AbortController();
  const relaying = outbox.relay(broker, {
    declare: [queue],
    signal: end.signal,
  });
  const [first, second] = await arrives(
    takeFrom(broker.consumer(queue), 2),
    "both",
  );
  end.abort();
  await relaying;
  assertEquals(first?.payload, { id: 7 });
  const { properties } = first ?? {};
  assertEquals(properties?.headers?.nested, headers.nested);
  assertEquals(properties?.headers?.timestamp, timestamp);
  assertEquals(properties?.headers?.["x-key"], "customer");
  assertEquals(properties?.timestamp, timestamp);
  assertEquals(properties?.priority, 5);
  assertEquals(properties?.type, "order");
  assertEquals(properties?.correlationId, "c");
  assertEquals(properties?.replyTo, "replies");
  assertEquals(properties?.appId, "shop");
  assertEquals(properties?.expiration, 600_000);
  assertEquals(properties?.deliveryMode, "transient");
  assertEquals(properties?.messageId, "order-7");
  assertEquals(second?.body, bytes);
  assertEquals(second?.properties.contentType, "a/b");
});

test("of two relays one is at work, and the other goes on when that ends", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database);
  await using broker = createConnection(`memory://${unique("outbox")}`);
  const queue = new Queue(unique("orders"));
  await broker.declare(queue);
  const start = () => {
    const end = new AbortController();
    const events: OutboxEvent["type"][] = [];
    const relaying = outbox.relay(broker, {
      signal: end.signal,
      lease: 6000,
      onEvent: ({ type }) => events.push(type),
    });
    return {
      events,
      end: async () => {
        end.abort();
        await arrives(relaying, "the end of a relay");
      },
    };
  };
  const first = start();
  await until(() => first.events.length > 0, "the first relay");
  const second = start();
  await until(() => second.events.length > 0, "the second relay");
  const publish = (payload: string) =>
    shop.transact((transaction) =>
      outbox.publish(payload, { queue, transaction })
    );
  await publish("by the first");
  await arrives(takeFrom(broker.consumer(queue), 1), "the first message");
  assertEquals(second.events, ["waiting"]);
  await first.end();
  await publish("by the second");
  await arrives(takeFrom(broker.consumer(queue), 1), "the second message");
  assertEquals(second.events.slice(0, 2), ["waiting", "relaying"]);
  assertEquals(first.events, ["relaying", "published"]);
  await second.end();
});

test("a message that the broker refuses is tried again, and none overtakes it", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database);
  await using broker = createConnection(`memory://${unique("outbox")}`);
  const [late, queue] = [new Queue(unique("late")), new Queue(unique("queue"))];
  await broker.declare(queue);
  await shop.transact(async (transaction) => {
    await outbox.publish("first", { queue: late, messageId: "1", transaction });
    await outbox.publish("second", { queue, messageId: "2", transaction });
  });
  const events: OutboxEvent[] = [];
  const told: string[] = [];
  const watching = (async () => {
    for await (const event of database.events()) {
      if (event.type === "outbox-failed") told.push(event.messageId ?? "");
    }
  })();
  const end = new AbortController();
  const relaying = outbox.relay(broker, {
    maxInFlight: 1,
    signal: end.signal,
    onEvent: (event) => events.push(event),
  });
  await until(
    () => events.filter(({ type }) => type === "failed").length >= 2,
    "two failures",
  );
  const [failed] = events.filter((event) => event.type === "failed");
  assertEquals(failed?.messageId, "1");
  assertEquals((await broker.queueStatus(queue)).messageCount, 0);
  assertEquals((await outbox.status()).count, 2);
  await broker.declare(late);
  await arrives(takeFrom(broker.consumer(late), 1), "the first");
  await arrives(takeFrom(broker.consumer(queue), 1), "the second");
  end.abort();
  await relaying;
  assert(told.length >= 2 && told.every((id) => id === "1"));
  await database.close();
  await watching;
});

test("a relay whose broker is away ends in time, and keeps what it has", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database);
  await shop.transact((transaction) =>
    outbox.publish(1, { queue: "orders", transaction })
  );
  await using broker = createConnection("amqp://127.0.0.1:1", {
    onUnhandled: () => {},
  });
  const end = new AbortController();
  const relaying = outbox.relay(broker, {
    signal: end.signal,
    drainTimeout: 50,
  });
  await until(() => broker.state.type !== "idle", "the broker's dialling");
  end.abort();
  await arrives(relaying, "the end of the relay");
  assertEquals((await outbox.status()).count, 1);
});

Deno.test("a relay whose database is away ends when its signal aborts", async () => {
  await using database = createConnection("postgres://me@127.0.0.1:1/shop", {
    connectTimeout: 600_000,
    operationTimeout: 600_000,
    onUnhandled: () => {},
  });
  await using broker = createConnection("memory://relay-away");
  const end = new AbortController();
  const relaying = createOutbox(database).relay(broker, { signal: end.signal });
  await until(() => database.state.type !== "idle", "the dialling");
  end.abort();
  await arrives(relaying, "the end of the relay");
  await arrives(database.close(), "the end of the connection");
});

test("a database that is not connected yet is refused, for the transaction may be in its way", async (shop) => {
  await using database = createConnection(shop.url);
  const outbox = createOutbox(database);
  const refuses = (
    publish: (transaction: SqlTransaction) => Promise<unknown>,
  ) =>
    rejectsWith(shop.transact(publish), "option-invalid", "connection.connect");
  await refuses((transaction) =>
    outbox.publish(1, { queue: "orders", transaction })
  );
  await refuses((transaction) => database.send("orders", 1, { transaction }));
  await rejectsWith(
    outbox.publish(1, { queue: "orders" } as never),
    "option-invalid",
    '"transaction"',
  );
  await database.connect();
  await shop.transact((transaction) =>
    outbox.publish(1, { queue: "orders", transaction })
  );
  assertEquals((await outbox.status()).count, 1);
});

test("a row that goes nowhere, and a bad option, are refused where they are given", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database);
  await shop.transact(async (transaction) => {
    const refused = (options: object, words: string) =>
      rejectsWith(
        outbox.publish(1, { transaction, ...options }),
        "option-invalid",
        words,
      );
    await refused({}, "destination");
    await assertRejects(
      () => outbox.publish(1, { queue: "q", priority: 1000, transaction }),
      RangeError,
    );
    await rejectsWith(
      outbox.publish(1, { queue: "q", transaction, retry: true } as never),
      "option-invalid",
      "by itself",
    );
    await rejectsWith(
      outbox.publish(1, { queue: "q", transaction: {} as never }),
      "option-invalid",
      "Cannot",
    );
  });
  assertEquals((await outbox.status()).count, 0);
  for (const lease of [10, Infinity]) {
    await assertRejects(
      () => outbox.relay(database, { lease }),
      RangeError,
      "lease",
    );
  }
});

Deno.test("an outbox on a broker without transactions is refused", async () => {
  await using connection = createConnection(`memory://${unique("outbox")}`);
  const outbox = createOutbox(connection);
  await rejectsWith(outbox.status(), "unsupported", "transaction");
  await rejectsWith(outbox.relay(connection), "unsupported", "transaction");
  await rejectsWith(
    (async () => await createOutbox("postgres://x" as never).status())(),
    "option-invalid",
    "createConnection",
  );
});
