import { assert, assertEquals } from "@std/assert";
import * as published from "@opentelemetry/semantic-conventions/incubating";
import config from "../../deno.json" with { type: "json" };
import { SCOPE } from "../../telemetry/scope.ts";
import {
  type Attribute,
  Collector,
  type Metric,
  valuesOf,
} from "./collector.ts";
import {
  ATTRIBUTES,
  BUCKETS,
  CLIENT,
  CONSUMER,
  KINDS,
  METRICS,
  PRODUCER,
  REQUIRED,
} from "./conventions.ts";

const PROGRAM = new URL("traced_program.ts", import.meta.url).pathname;

/** Brokers that are there; memory always is. */
const URLS = [
  "memory://traced",
  Deno.env.get("DASHI_TEST_AMQP_URL"),
  Deno.env.get("DASHI_TEST_REDIS_URL"),
].filter((each) => each !== undefined);

/** So many messages are published by the program. */
const PUBLISHES = 9;

/** All names that the published conventions have. */
const KNOWN = new Set<unknown>(Object.values(published));

Deno.test("the scope has the version of the package", () => {
  assertEquals(SCOPE.version, config.version);
});

Deno.test("the tables of these tests name nothing that the published conventions have not", () => {
  for (const name of [...Object.keys(ATTRIBUTES), ...Object.keys(METRICS)]) {
    assert(KNOWN.has(name) || name.startsWith("dashi."), name);
  }
});

for (const url of URLS) {
  const scheme = new URL(url).protocol;
  Deno.test(`a collector is told by Deno's own exporter what the conventions say (${scheme})`, async () => {
    await using collector = new Collector((metrics) =>
      metrics.has("dashi.queue.depth") && sentIn(metrics) === PUBLISHES
    );
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        PROGRAM,
        url,
        crypto.randomUUID(),
        `${collector.url}/wait`,
      ],
      env: {
        OTEL_DENO: "true",
        OTEL_DENO_CONSOLE: "ignore",
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_METRIC_EXPORT_INTERVAL: "200",
      },
      stdout: "null",
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    checkSpans(collector);
    checkMetrics(collector);
    const text = collector.texts.join("");
    assert(!text.includes("hunter2"));
  });
}

function checkAttributes(
  attributes: readonly Attribute[],
  required: readonly string[],
  of: string,
): Record<string, unknown> {
  for (const { key, value } of attributes) {
    const type = ATTRIBUTES[key];
    assert(type !== undefined, `${of}: ${key} is unknown`);
    // Deno's exporter writes each number as a double.
    const isWhole = Number.isSafeInteger(value.doubleValue);
    const right = type === "intValue" && isWhole ? "doubleValue" : type;
    assertEquals(Object.keys(value), [right], `${of}: ${key}`);
  }
  const values = valuesOf(attributes);
  for (const name of required) {
    assert(values[name] !== undefined, `${of} has no ${name}`);
  }
  return values;
}

function checkSpans({ spans }: Collector): void {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const names: Record<string, number> = {};
  for (const span of spans) {
    const values = checkAttributes(span.attributes, REQUIRED, span.name);
    const type = String(values["messaging.operation.type"]);
    assert(KINDS[type]?.includes(span.kind), `${span.name}: ${span.kind}`);
    const name = String(values["messaging.operation.name"]);
    names[name] = (names[name] ?? 0) + 1;
    const destination = values["messaging.destination.template"] ??
      values["messaging.destination.name"];
    const isAnonymous = values["messaging.destination.anonymous"] === true;
    assertEquals(span.name, isAnonymous ? name : `${name} ${destination}`);
    assert(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));
    assertEquals(span.status?.message ?? "", "");
    const hasFailed = span.status?.code === 2;
    assertEquals(values["error.type"] !== undefined, hasFailed, span.name);
    const isBatch = values["messaging.batch.message_count"] !== undefined;
    assertEquals(values["messaging.message.id"] === undefined, isBatch);
    for (const { spanId } of span.links ?? []) {
      assert(ids.has(spanId), `${span.name} links to nothing`);
    }
    if (span.kind === PRODUCER) assertEquals(span.links?.length ?? 0, 0);
    if (span.kind === CONSUMER) {
      assertEquals(span.links?.length, isBatch ? 2 : 1);
      assertEquals(span.parentSpanId ?? "", "", "links, and not parents");
    }
    if (span.kind === CLIENT) assertEquals(span.links?.length, 1, span.name);
  }
  // RabbitMQ counts no deliveries: one that was fetched before is written again.
  delete names["requeue"];
  assertEquals(names, {
    publish: PUBLISHES, // two, three rows, the redrive, a request, its answer, one that stays
    process: 7, // one, four attempts, a batch, a request
    retry: 3,
    park: 1,
    get: 1,
    receive: 2, // of a loop, and an answer
    ack: 6, // one, what was got, a row, two of a batch, a request
  });
}

function checkMetrics({ metrics }: Collector): void {
  for (
    const [name, { data, unit, required, ...more }] of Object.entries(METRICS)
  ) {
    const metric = metrics.get(name);
    assert(metric !== undefined, `${name} is not told`);
    assertEquals(metric.unit, unit, name);
    const numbers = metric[data];
    assert(numbers !== undefined, `${name} is no ${data}`);
    if (data === "sum") {
      assertEquals(numbers.isMonotonic ?? false, more.monotonic);
    }
    assert(numbers.dataPoints.length > 0, name);
    for (const point of numbers.dataPoints) {
      const values = checkAttributes(point.attributes, required, name);
      assertEquals(values["messaging.message.id"], undefined);
      const type = values["messaging.operation.type"];
      if (more.types) {
        assert(more.types.includes(String(type)), `${name}: ${type}`);
      }
      if (data === "histogram") assertEquals(point.explicitBounds, BUCKETS);
    }
  }
  for (const name of metrics.keys()) {
    assert(METRICS[name] !== undefined, `${name} is unknown`);
  }
  assertEquals(sentIn(metrics), PUBLISHES);
}

/** How many publishes are counted. */
function sentIn(metrics: ReadonlyMap<string, Metric>): number {
  const { sum } = metrics.get("messaging.client.sent.messages") ?? {};
  return sum?.dataPoints.reduce(
    (all, { asInt, asDouble }) => all + Number(asInt ?? asDouble),
    0,
  ) ?? 0;
}
