/**
 * What version 1.44.0 of OpenTelemetry's conventions for messaging says of spans and
 * metrics, as far as a receiver of them can see it.
 */

/** The type of a value, by the names of OTLP's JSON. */
export type ValueType = "stringValue" | "intValue" | "boolValue";

/** The attributes that operations may have, the library's own among them, and their types. */
export const ATTRIBUTES: Readonly<Record<string, ValueType>> = {
  "aws.sqs.queue.url": "stringValue",
  "dashi.attempt": "intValue",
  "dashi.reason": "stringValue",
  "error.type": "stringValue",
  "messaging.batch.message_count": "intValue",
  "messaging.client.id": "stringValue",
  "messaging.destination.anonymous": "boolValue",
  "messaging.destination.name": "stringValue",
  "messaging.destination.template": "stringValue",
  "messaging.destination.temporary": "boolValue",
  "messaging.message.conversation_id": "stringValue",
  "messaging.message.id": "stringValue",
  "messaging.operation.name": "stringValue",
  "messaging.operation.type": "stringValue",
  "messaging.rabbitmq.destination.routing_key": "stringValue",
  "messaging.rabbitmq.message.delivery_tag": "intValue",
  "messaging.system": "stringValue",
  "network.peer.address": "stringValue",
  "network.peer.port": "intValue",
  "server.address": "stringValue",
  "server.port": "intValue",
};

/** The kinds of spans, as OTLP counts them. */
export const CLIENT = 3;
/** As `CLIENT`. */
export const PRODUCER = 4;
/** As `CLIENT`. */
export const CONSUMER = 5;

/** The kinds that the span of an operation may have. */
export const KINDS: Readonly<Record<string, readonly number[]>> = {
  create: [PRODUCER, CLIENT],
  send: [PRODUCER, CLIENT],
  receive: [CLIENT],
  process: [CONSUMER],
  settle: [CLIENT],
};

/** The attributes that no span is without: RabbitMQ's must name their destination, and so do all here. */
export const REQUIRED: readonly string[] = [
  "messaging.system",
  "messaging.operation.name",
  "messaging.operation.type",
];

/** A metric of the conventions. */
export interface Metric {
  /** Where its numbers are in OTLP's JSON. */
  readonly data: "histogram" | "sum" | "gauge";
  /** Whether a sum only grows. */
  readonly monotonic?: boolean;
  /** Its unit. */
  readonly unit: string;
  /** The attributes that each of its numbers has. */
  readonly required: readonly string[];
  /** The types of operations that it may tell of. */
  readonly types?: readonly string[];
}

/** The four metrics of the conventions, and the library's own. */
export const METRICS: Readonly<Record<string, Metric>> = {
  "messaging.client.operation.duration": {
    data: "histogram",
    unit: "s",
    required: ["messaging.system", "messaging.operation.name"],
    types: ["send", "receive", "settle"],
  },
  "messaging.process.duration": {
    data: "histogram",
    unit: "s",
    required: ["messaging.system", "messaging.operation.name"],
    types: ["process"],
  },
  "messaging.client.sent.messages": {
    data: "sum",
    monotonic: true,
    unit: "{message}",
    required: ["messaging.system", "messaging.operation.name"],
    types: ["send"],
  },
  "messaging.client.consumed.messages": {
    data: "sum",
    monotonic: true,
    unit: "{message}",
    required: ["messaging.system", "messaging.operation.name"],
    types: ["receive", "process"],
  },
  "dashi.in_flight": {
    data: "sum",
    monotonic: false,
    unit: "{message}",
    required: ["messaging.system"],
  },
  "dashi.retries": {
    data: "sum",
    monotonic: true,
    unit: "{message}",
    required: ["messaging.system", "error.type"],
  },
  "dashi.dead_letters": {
    data: "sum",
    monotonic: true,
    unit: "{message}",
    required: ["messaging.system", "dashi.reason"],
  },
  "dashi.queue.depth": {
    data: "gauge",
    unit: "{message}",
    required: ["messaging.system", "messaging.destination.name"],
  },
};

/** The limits of the buckets of both histograms, seconds. */
export const BUCKETS: readonly number[] = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
];
