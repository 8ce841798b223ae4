/** What hooks see of an outbox: middlewares, and telemetry. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  createConnection,
  type Message,
  Queue,
} from "@dashi/mq";
import {
  claimCheck,
  compression,
  createMemoryClaimStore,
  encryption,
} from "@dashi/mq/middleware";
import { createOutbox, type Outbox } from "@dashi/mq/outbox";
import { context, SpanKind, trace } from "@opentelemetry/api";
import { arrives, unique } from "../../conformance/support.ts";
import { Told } from "../../conformance/tracing_stage.ts";
import { takeFrom, test } from "./databases.ts";

/** Relays until a queue of the broker has a message. */
async function relayOne(
  outbox: Outbox,
  broker: Connection,
  queue: Queue,
): Promise<Message<unknown> | undefined> {
  const end = new AbortController();
  const relaying = outbox.relay(broker, {
    declare: [queue],
    signal: end.signal,
  });
  const [message] = await arrives(takeFrom(broker.consumer(queue), 1), "it");
  end.abort();
  await relaying;
  return message;
}

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
  const message = await relayOne(outbox, broker, queue);
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
  const message = await relayOne(outbox, broker, queue);
  assertEquals(message?.payload, text);
  assertEquals(message?.headers.outbox, true);
  assertEquals(message?.headers.relay, true);
  assertEquals(seen, ["outbox", "outbox", "outbox", "relay"]);
});
