import assert from "node:assert/strict";
import type { Attributes } from "@opentelemetry/api";
import type { Message } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { type Stage, take } from "./stage.ts";
import { arrives } from "./support.ts";
import {
  commonOf,
  type Golden,
  peerOf,
  rabbitOf,
  traced,
  urlOf,
} from "./tracing_stage.ts";

/** Handlers are called again at once, and the last failure is a dead letter. */
const FOUR = { attempts: 4, backoff: 0 };

/** A topic exchange, and a queue of it. */
function topic(stage: Stage) {
  const exchange = stage.exchange({ type: "topic" });
  const queue = stage.queue({ exchange, routingKey: "order.#" });
  const producer = stage.connection.producer<unknown>({
    exchange,
    routingKey: "order.paid",
    declare: [queue],
  });
  return { exchange, queue, producer };
}

/** Makes the span that is expected of an operation on a message of that queue. */
function expected(
  { connection }: Stage,
  { exchange, queue }: { exchange: { name: string }; queue: { name: string } },
) {
  const info = connection.info();
  const of = (
    operation: string,
    type: string,
    kind: string,
    destination: Attributes & { "messaging.destination.template": string },
    more: Partial<Golden>,
  ): Golden => ({
    name: `${operation} ${destination["messaging.destination.template"]}`,
    kind,
    parent: undefined,
    links: [],
    ...more,
    attributes: {
      ...commonOf(info),
      ...peerOf(info),
      ...rabbitOf(info, "order.paid"),
      ...destination,
      "messaging.operation.name": operation,
      "messaging.operation.type": type,
      ...more.attributes,
    },
  });
  const publish = of("publish", "send", "PRODUCER", {
    "messaging.destination.name": `${exchange.name}:order.paid`,
    "messaging.destination.template": exchange.name,
  }, {});
  const consumed = (
    operation: string,
    type: string,
    kind: string,
    more: Partial<Golden> = {},
  ) =>
    of(operation, type, kind, {
      ...urlOf(connection, queue.name),
      "messaging.destination.name": `${exchange.name}:order.paid:${queue.name}`,
      "messaging.destination.template": queue.name,
    }, { links: [publish.name], ...more });
  return { publish, consumed };
}

/** By name: spans end in the order in which brokers answer. */
function sorted(spans: readonly Golden[]): readonly Golden[] {
  return spans.toSorted((a, b) => a.name < b.name ? -1 : 1);
}

/** The spans of OpenTelemetry, and how they hang together. */
export const TRACING: readonly ConformanceCase[] = [
  traced(
    "telemetry: a publish, the handler that is called, and its ack are three spans, by the conventions",
    async ({ connection, told, ...stage }) => {
      const { producer, ...names } = topic({ connection, ...stage });
      const consumer = connection.consumer(names.queue);
      const running = consumer.run(() => void consumer.cancel());
      await producer.publish({ id: 1 }, { correlationId: "c-7" });
      await arrives(running, "the end of the run");
      const { publish, consumed } = expected({ connection, ...stage }, names);
      const attributes = { "messaging.message.conversation_id": "c-7" };
      const process = consumed("process", "process", "CONSUMER", {
        attributes,
      });
      const ack = consumed("ack", "settle", "CLIENT", {
        attributes,
        parent: process.name,
      });
      assert.deepEqual(
        sorted(await told.golden(3)),
        sorted([
          { ...publish, attributes: { ...publish.attributes, ...attributes } },
          process,
          ack,
        ]),
      );
      const ids = told.spans.map((each) =>
        each.attributes["messaging.message.id"]
      );
      assert.equal(new Set(ids).size, 1);
      assert.equal(typeof ids[0], "string");
      const traces = new Set(told.spans.map((e) => e.spanContext().traceId));
      assert.equal(traces.size, 2, "links, and no parents");
    },
  ),
  traced(
    "telemetry: get() and `for await` are spans that receive, of messages that are handed over and of no others",
    async ({ connection, told, ...stage }) => {
      const { producer, ...names } = topic({ connection, ...stage });
      for (let n = 0; n < 4; n++) await producer.publish(n);
      const queue = connection.queue(names.queue);
      const got = await queue.get();
      assert.ok(got !== undefined);
      await got.ack();
      await queue.close();
      for (const each of await take(connection.consumer(names.queue), 2)) {
        await each.reject();
      }
      const { publish, consumed } = expected({ connection, ...stage }, names);
      const receive = consumed("receive", "receive", "CLIENT");
      const reject = consumed("reject", "settle", "CLIENT");
      assert.deepEqual(
        sorted(await told.golden(10)),
        sorted([
          ...Array<Golden>(4).fill(publish),
          consumed("get", "receive", "CLIENT"),
          consumed("ack", "settle", "CLIENT"),
          receive,
          receive,
          reject,
          reject,
        ]),
      );
    },
  ),
  traced(
    "telemetry: get() that finds nothing is a span that receives, and counts no message",
    async ({ connection, told, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      await using handle = connection.queue(queue);
      assert.equal(await handle.get(), undefined);
      assert.deepEqual(await handle.receive({ max: 2 }), []);
      const info = connection.info();
      const span: Golden = {
        name: `get ${queue.name}`,
        kind: "CLIENT",
        parent: undefined,
        links: [],
        attributes: {
          ...commonOf(info),
          ...peerOf(info),
          ...urlOf(connection, queue.name),
          "messaging.destination.name": queue.name,
          "messaging.operation.name": "get",
          "messaging.operation.type": "receive",
        },
      };
      assert.deepEqual(await told.golden(2), [span, span]);
      const name = "messaging.client.consumed.messages";
      assert.deepEqual(await told.metric(name), []);
    },
  ),
  ...[false, true].map((continueTrace) =>
    traced(
      `telemetry: three retries, a dead letter and a redrive are one unbroken trace${
        continueTrace ? ", and one by id with `continueTrace`" : ", by links"
      }`,
      async ({ connection, told, ...stage }) => {
        const queue = stage.queue();
        const failed = stage.queue({}, `${queue.name}.failed`);
        const headers: (unknown)[] = [];
        let calls = 0;
        const consumer = connection.consumer(queue);
        await connection.send(queue, "bad");
        const running = consumer.run((message) => {
          headers.push(message.headers["traceparent"]);
          if (++calls <= 4) throw new Error("bad luck");
          void consumer.cancel();
        }, { retry: FOUR });
        await told.take(1 + 4 + 4); // three are retried, and the last is parked
        await connection.redrive(failed);
        await arrives(running, "the end of the run");
        await told.take(1 + 4 + 4 + 1 + 2);
        const spans = told.spans;
        const count = (name: string) =>
          spans.filter((each) => each.name === `${name} ${queue.name}`);
        const counts = ["publish", "process", "retry", "park", "ack"].map((
          name,
        ) => count(name).length);
        assert.deepEqual(counts, [2, 5, 3, 1, 1]);
        assert.equal(new Set(headers).size, 1, "the context stays");
        assert.equal(headers.length, 5);
        const attempts = count("process").map((each) =>
          each.attributes["dashi.attempt"]
        );
        assert.deepEqual(attempts, [undefined, 2, 3, 4, undefined]);
        const kinds = await told.golden(spans.length);
        assert.deepEqual(
          kinds.filter(({ name }) => name.startsWith("publish"))
            .map(({ kind }) => kind),
          ["PRODUCER", "CLIENT"], // the redrive finds a context, and leaves it
        );
        const [first] = spans;
        assert.ok(first !== undefined);
        const root = first.spanContext();
        const reached = new Set([root.spanId]);
        for (let before = 0; before < reached.size;) {
          before = reached.size;
          for (const each of spans) {
            const to = [
              ...each.links.map(({ context }) => context.spanId),
              each.parentSpanContext?.spanId ?? "",
            ];
            if (to.some((id) => reached.has(id))) {
              reached.add(each.spanContext().spanId);
            }
          }
        }
        assert.equal(reached.size, spans.length, "a span stands alone");
        if (!continueTrace) return;
        const ids = spans.filter((each) => each !== count("publish")[1])
          .map((each) => each.spanContext().traceId);
        assert.deepEqual([...new Set(ids)], [root.traceId]);
      },
      { continueTrace },
    )
  ),
  traced(
    "telemetry: a context and a baggage that the publisher set stay as they are, and are linked to",
    async ({ connection, told, ...stage }) => {
      const queue = stage.queue();
      const traceparent =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
      await connection.send(queue, 1, { headers: { traceparent } });
      await connection.send(queue, 2, { headers: { baggage: "user=ada" } });
      const [own, other] = await take(connection.consumer(queue), 2)
        .then((all) =>
          all.toSorted((a, b) => Number(a.payload) - Number(b.payload))
        );
      assert.deepEqual(own?.headers, { traceparent });
      assert.equal(other?.headers["baggage"], "user=ada");
      assert.match(String(other?.headers["traceparent"]), /^00-[0-9a-f]{32}-/);
      await Promise.all([own, other].map((each) => each?.ack()));
      const [first, second] = await told.golden(2);
      assert.deepEqual([first?.kind, second?.kind], ["CLIENT", "PRODUCER"]);
      const [link] = told.spans[0]?.links ?? [];
      assert.equal(link?.context.spanId, "b7ad6b7169203331");
    },
  ),
  traced(
    "telemetry: a publish in a handler is a child of its span, and carries its baggage on",
    async ({ connection, told, ...stage }) => {
      const [first, second] = [stage.queue(), stage.queue()];
      await connection.declare(second);
      const consumer = connection.consumer(first);
      const running = consumer.run(async () => {
        await connection.send(second, 2);
        void consumer.cancel();
      });
      await connection.send(first, 1, { headers: { baggage: "user=ada" } });
      await arrives(running, "the end of the run");
      const spans = await told.golden(4);
      const inner = spans.find(({ name }) => name === `publish ${second.name}`);
      assert.equal(inner?.parent, `process ${first.name}`);
      const [message] = await take(connection.consumer(second), 1);
      assert.equal(message?.headers["baggage"], "user=ada");
      await message?.ack();
    },
  ),
  traced(
    "telemetry: a batch is one span, which links to all its messages and counts them",
    async ({ connection, told, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<number>({ queue });
      await producer.publishAll([1, 2, 3]);
      const consumer = connection.consumer<number>(queue);
      const seen: Message<number>[] = [];
      const running = consumer.runBatches((messages) => {
        seen.push(...messages);
        if (seen.length === 3) void consumer.cancel();
      }, { size: 3, wait: 60_000 });
      await arrives(running, "the end of the run");
      const spans = await told.golden(3 + 1 + 3);
      const batches = spans.filter(({ kind }) => kind === "CONSUMER");
      const [publish, process] = [
        `publish ${queue.name}`,
        `process ${queue.name}`,
      ];
      assert.deepEqual(batches.map(({ name, links }) => [name, links]), [
        [process, [publish, publish, publish]],
      ]);
      assert.equal(batches[0]?.attributes["messaging.batch.message_count"], 3);
      const acks = spans.filter(({ name }) => name.startsWith("ack"));
      assert.deepEqual(
        acks.map(({ parent }) => parent),
        Array(3).fill(process),
      );
    },
  ),
  traced(
    "telemetry: a request, its handler and its answer hang together",
    async ({ connection, told, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const consumer = connection.consumer<number>(queue);
      const serving = consumer.serve(({ payload }) => payload + 1);
      const tracer = told.tracerProvider.getTracer("case");
      const { context, trace } = await import("@opentelemetry/api");
      const span = tracer.startSpan("asking");
      const answer = await context.with(
        trace.setSpan(context.active(), span),
        () => connection.request<number>(1, { routingKey: queue.name }),
      );
      span.end();
      assert.equal(answer, 2);
      await consumer.cancel();
      await arrives(serving, "the end of the run");
      const spans = await told.golden(6);
      const [request, process] = [
        `publish ${queue.name}`,
        `process ${queue.name}`,
      ];
      const shown = spans.map(({ name, kind, parent, links }) =>
        [name, kind, parent, ...links].join(" | ")
      );
      assert.deepEqual(
        shown.toSorted(),
        [
          `${request} | PRODUCER | asking`,
          `${process} | CONSUMER |  | ${request}`,
          `publish | PRODUCER | ${process}`,
          `ack ${queue.name} | CLIENT | ${process} | ${request}`,
          `receive | CLIENT | asking | publish`,
          "asking | INTERNAL | ",
        ].toSorted(),
      );
    },
  ),
];
