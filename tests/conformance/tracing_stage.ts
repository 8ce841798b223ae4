import assert from "node:assert/strict";
import type {
  Attributes,
  TextMapPropagator,
  TracerProvider as TracerProviderType,
} from "@opentelemetry/api";
import type { MetricData } from "@opentelemetry/sdk-metrics";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { Connection, ConnectionInfo } from "../../mod.ts";
import { telemetry, type TelemetryOptions } from "../../telemetry/mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, type Stage } from "./stage.ts";
import { until } from "./support.ts";

/** A span as a case compares it: ids that differ each time are names here. */
export interface Golden {
  /** Its name. */
  readonly name: string;
  /** `PRODUCER`, `CONSUMER` or `CLIENT`. */
  readonly kind: string;
  /** The name of the span that it is a child of. */
  readonly parent: string | undefined;
  /** The names of the spans that it links to. */
  readonly links: readonly string[];
  /** Its attributes. */
  readonly attributes: Attributes;
}

/** OpenTelemetry's own SDK, and what it is told. */
export class Told {
  /** Makes the middleware, of this SDK. */
  readonly middleware: (
    options?: TelemetryOptions,
  ) => ReturnType<typeof telemetry>;
  /** For spans of the case itself. */
  readonly tracerProvider: TracerProviderType;
  readonly #spans: () => readonly ReadableSpan[];
  readonly #metrics: () => Promise<readonly MetricData[]>;

  private constructor(
    tracerProvider: TracerProviderType,
    parts: Required<
      Pick<TelemetryOptions, "meterProvider" | "propagator">
    >,
    spans: () => readonly ReadableSpan[],
    metrics: () => Promise<readonly MetricData[]>,
  ) {
    this.tracerProvider = tracerProvider;
    this.middleware = (options) =>
      telemetry({ tracerProvider, ...parts, ...options });
    this.#spans = spans;
    this.#metrics = metrics;
  }

  /** Imports the SDK, and sees to it that contexts follow promises in this process. */
  static async make(): Promise<Told> {
    const api = await import("@opentelemetry/api");
    const { AsyncLocalStorageContextManager } = await import(
      "@opentelemetry/context-async-hooks"
    );
    const core = await import("@opentelemetry/core");
    const sdk = await import("@opentelemetry/sdk-trace");
    const { MeterProvider, MetricReader } = await import(
      "@opentelemetry/sdk-metrics"
    );
    // Refused where there is one already: then that is used.
    api.context.setGlobalContextManager(
      new AsyncLocalStorageContextManager().enable(),
    );
    // Not the exporter in memory of the SDK: its timers outlive a case.
    const spans: ReadableSpan[] = [];
    const provider = new sdk.TracerProvider({
      spanProcessors: [{
        onStart() {},
        onEnd: (span) => void spans.push(span),
        forceFlush: () => Promise.resolve(),
        shutdown: () => Promise.resolve(),
      }],
    });
    class Reader extends MetricReader {
      protected override onForceFlush(): Promise<void> {
        return Promise.resolve();
      }
      protected override onShutdown(): Promise<void> {
        return Promise.resolve();
      }
    }
    const reader = new Reader();
    const propagator: TextMapPropagator = new core.CompositePropagator({
      propagators: [
        new core.W3CTraceContextPropagator(),
        new core.W3CBaggagePropagator(),
      ],
    });
    return new Told(
      provider,
      { meterProvider: new MeterProvider({ readers: [reader] }), propagator },
      () => spans,
      async () => {
        const { resourceMetrics, errors } = await reader.collect();
        if (errors.length > 0) throw errors[0];
        return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
      },
    );
  }

  /** The spans that have ended. */
  get spans(): readonly ReadableSpan[] {
    return this.#spans();
  }

  /** Waits for so many spans. */
  async take(count: number): Promise<readonly ReadableSpan[]> {
    await until(
      () => this.spans.length >= count,
      () => `${count} spans, of which there are ${this.names().join(", ")},`,
    );
    return this.spans;
  }

  /** The names of the spans, in the order of their ends. */
  names(): string[] {
    return this.spans.map(({ name }) => name);
  }

  /** Waits for so many spans, and returns them as they are compared. */
  async golden(count: number): Promise<readonly Golden[]> {
    const spans = await this.take(count);
    const names = new Map(
      spans.map((each) => [each.spanContext().spanId, each.name]),
    );
    const nameOf = (id: string) => names.get(id) ?? "unknown";
    return spans.map((
      { name, kind, parentSpanContext, links, attributes },
    ) => ({
      name,
      kind: KINDS[kind] ?? "",
      parent: parentSpanContext && nameOf(parentSpanContext.spanId),
      links: links.map(({ context }) => nameOf(context.spanId)),
      attributes: steady(attributes),
    }));
  }

  /** Collects a metric's numbers; of a histogram how many there are. */
  async metric(
    name: string,
  ): Promise<readonly { attributes: Attributes; value: number }[]> {
    const all = await this.#metrics();
    const data = all.find(({ descriptor }) => descriptor.name === name);
    return data?.dataPoints.map(({ attributes, value }) => ({
      attributes,
      value: typeof value === "number" ? value : value.count,
    })) ?? [];
  }

  /** All that was told, as a text. */
  async text(): Promise<string> {
    const spans = this.spans.map((
      { name, attributes, status, events, links },
    ) => [name, attributes, status, events, links]);
    return JSON.stringify([spans, await this.#metrics()]);
  }
}

const KINDS = ["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];

/** The attributes without those that count and name by chance. */
function steady(attributes: Attributes): Attributes {
  const {
    "messaging.rabbitmq.message.delivery_tag": _1,
    "messaging.message.id": _2,
    ...rest
  } = attributes;
  return rest;
}

/** The conventions' words for systems. */
const SYSTEMS: Readonly<Record<string, string>> = {
  amqp: "rabbitmq",
  amqp_client: "rabbitmq",
  beanstalk: "beanstalkd",
  sqs: "aws_sqs",
};

/**
 * Says what each span of a connection has.
 *
 * @param info The connection.
 * @returns The attributes.
 */
export function commonOf(
  { transport, hostname, port }: ConnectionInfo,
): Attributes {
  return {
    "messaging.system": SYSTEMS[transport] ?? transport,
    ...(transport === "memory" || hostname === undefined
      ? {}
      : { "server.address": hostname, "server.port": port }),
  };
}

/**
 * Says what each span of a connection has, and no metric.
 *
 * @param info The connection.
 * @returns The attributes.
 */
export function peerOf({ peer }: ConnectionInfo): Attributes {
  return peer === undefined ? {} : {
    "network.peer.address": peer.address,
    "network.peer.port": peer.port,
  };
}

/**
 * Says what RabbitMQ's spans have beside others.
 *
 * @param info The connection.
 * @param routingKey The key.
 * @returns The attributes.
 */
export function rabbitOf(
  { transport }: ConnectionInfo,
  routingKey: string,
): Attributes {
  return SYSTEMS[transport] === "rabbitmq"
    ? { "messaging.rabbitmq.destination.routing_key": routingKey }
    : {};
}

/**
 * Says what the spans of SQS have beside others.
 *
 * @param connection The connection, which has found the queue.
 * @param queue The queue.
 * @returns The attributes.
 */
export function urlOf(connection: Connection, queue: string): Attributes {
  if (connection.info().transport !== "sqs") return {};
  const url = connection.queueUrl(queue);
  assert.ok(url?.startsWith("http"), `the URL of queue "${queue}" is ${url}`);
  return { "aws.sqs.queue.url": url };
}

/** A stage whose connection is traced. */
export interface TracedStage extends Stage {
  /** What was told. */
  readonly told: Told;
}

/**
 * Makes a case whose connection is traced.
 *
 * @param name The case's name.
 * @param run The body of the case.
 * @param options The options of its telemetry.
 * @returns The case.
 */
export function traced(
  name: string,
  run: (stage: TracedStage) => Promise<void>,
  options: { readonly continueTrace?: boolean } = {},
): ConformanceCase {
  return onStage(name, async (stage) => {
    const told = await Told.make();
    stage.connection.use(await told.middleware(options));
    await stage.connection.connect();
    await run({ ...stage, told });
  });
}
