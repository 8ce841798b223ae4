import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  type Message,
  Queue,
  type SqlTransaction,
} from "@dashi/mq";
import {
  claimCheck,
  compression,
  createMemoryClaimStore,
  encryption,
} from "@dashi/mq/middleware";
import { createOutbox, type OutboxEvent } from "@dashi/mq/outbox";
import { context, SpanKind, trace } from "@opentelemetry/api";
import {
  arrives,
  rejectsWith,
  unique,
  until,
} from "../../conformance/support.ts";
import { Told } from "../../conformance/tracing_stage.ts";
import { DATABASES, type TestDatabase } from "./databases.ts";

function test(
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
async function takeFrom(
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

test("a message of an outbox keeps the trace that it was written in, and the relay's publish is linked to it", async (shop) => {
  const told = await Told.make();
  await using database = createConnection(shop.url);
  database.use(await told.middleware());
  await database.connect();
  const outbox = createOutbox(database);
  await using broker = createConnection(`memory://${unique("outbox")}`);
  broker.use(await told.middleware());
  const queue = new Queue("orders");
  const tracer = told.tracerProvider.getTracer("test");
  const writer = tracer.startSpan("web");
  await context.with(
    trace.setSpan(context.active(), writer),
    () =>
      shop.transact((transaction) =>
        outbox.publish(1, { queue, transaction, headers: { a: 1 } })
      ),
  );
  writer.end();
  const end = new AbortController();
  const relaying = outbox.relay(broker, {
    declare: [queue],
    signal: end.signal,
  });
  const [message] = await arrives(takeFrom(broker.consumer(queue), 1), "it");
  end.abort();
  await relaying;
  const { traceId } = writer.spanContext();
  const traceparent = message?.headers.traceparent;
  assert(String(traceparent).includes(traceId), String(traceparent));
  assertEquals(message?.headers.a, 1);
  const [create, publish] = ["create orders", "publish orders"].map((name) =>
    told.spans.find((span) => span.name === name)
  );
  assertEquals(create?.kind, SpanKind.PRODUCER);
  assertEquals(create?.spanContext().traceId, traceId);
  assertEquals(create?.attributes["messaging.operation.type"], "create");
  assertEquals(publish?.kind, SpanKind.CLIENT);
  assertEquals(
    publish?.links.map(({ context }) => context.spanId),
    [create?.spanContext().spanId],
  );
  // It was sent once, to the broker.
  const sent = await told.metric("messaging.client.sent.messages");
  assertEquals(sent.map(({ value }) => value), [1]);
});

test("middlewares of the database see what is written, those of the broker what is relayed; what both wrap is wrapped once", async (shop) => {
  await using database = createConnection(shop.url);
  await database.connect();
  const outbox = createOutbox(database);
  await using broker = createConnection(`memory://${unique("outbox")}`);
  const queue = new Queue<string>("orders");
  const seen: string[] = [];
  const store = createMemoryClaimStore();
  for (const connection of [database, broker]) {
    connection.use({
      publish(message, next) {
        seen.push(message.origin);
        const { headers, properties: { messageId } } = message;
        if (messageId === "kept") return Promise.resolve();
        if (messageId === "refused") throw new Error("no");
        return next({ headers: { ...headers, [message.origin]: true } });
      },
    })
      .use(compression({ over: 100 }))
      .use(encryption({ keys: { a: new Uint8Array(32) }, current: "a" }))
      .use(claimCheck({ store, over: 10 }));
  }
  const text = "long ".repeat(1000);
  await shop.transact(async (transaction) => {
    const publish = (messageId: string) =>
      outbox.publish(text, { queue, transaction, messageId });
    assertEquals(await publish("1"), "1");
    assertEquals(await publish("kept"), "kept");
    await assertRejects(() => publish("refused"), Error, "no");
  });
  assertEquals((await outbox.status()).count, 1);
  const end = new AbortController();
  const relaying = outbox.relay(broker, {
    declare: [queue],
    signal: end.signal,
  });
  const [message] = await arrives(takeFrom(broker.consumer(queue), 1), "it");
  end.abort();
  await relaying;
  assertEquals(message?.payload, text);
  assertEquals(message?.headers.outbox, true);
  assertEquals(message?.headers.relay, true);
  assertEquals(seen, ["outbox", "outbox", "outbox", "relay"]);
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
      lease: 1000,
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
  await assertRejects(
    () => outbox.relay(database, { lease: 10 }),
    RangeError,
    "lease",
  );
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
