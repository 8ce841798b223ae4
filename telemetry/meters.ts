import type {
  Api,
  Attributes,
  Meter,
  MeterProvider,
  ObservableResult,
} from "./api_client.ts";
import { Operations, type Server } from "./operations.ts";
import { SCOPE } from "./scope.ts";

/** The limits of the buckets of durations that the conventions ask for, seconds. */
const BUCKETS = [
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

/** Counts by attributes, which are told when metrics are collected: to count costs an addition. */
class Tally {
  readonly #rows = new Map<Attributes, Map<string | undefined, Row>>();

  /**
   * Adds to a number.
   *
   * @param attributes The attributes: the same object for the same values.
   * @param detail The value of a further attribute.
   * @param count The number to add.
   */
  add(attributes: Attributes, detail: string | undefined, count: number): void {
    let rows = this.#rows.get(attributes);
    if (rows === undefined) this.#rows.set(attributes, rows = new Map());
    const row = rows.get(detail);
    if (row === undefined) rows.set(detail, { value: count });
    else row.value += count;
  }

  /** Returns what tells all numbers, each with its attributes, to a collection. */
  telling(detailName: string): (result: ObservableResult) => void {
    return (result) => {
      for (const [attributes, rows] of this.#rows) {
        for (const [detail, { value }] of rows) {
          result.observe(
            value,
            detail === undefined
              ? attributes
              : { ...attributes, [detailName]: detail },
          );
        }
      }
    };
  }
}

interface Row {
  value: number;
}

/** Asks for the depths of queues: each with its attributes. */
export type AskDepths = () => Promise<
  readonly { readonly attributes: Attributes; readonly depth: number }[]
>;

/** The operations of so many peers are known at once. */
const MOST = 1000;

/** The instruments of one meter provider, shared by all that is told to it. */
export class Meters {
  readonly #meter: Meter;
  readonly #operations = new Map<string, Operations>();
  /** The attributes of metrics of each server, which know nothing of connections' names. */
  readonly #shared = new Map<string, Map<string, Attributes>>();
  readonly #operation: ReturnType<Meter["createHistogram"]>;
  readonly #process: ReturnType<Meter["createHistogram"]>;
  readonly #sent = new Tally();
  readonly #consumed = new Tally();
  readonly #inFlight = new Tally();
  readonly #reconnects: ReturnType<Meter["createCounter"]>;
  readonly #retries: ReturnType<Meter["createCounter"]>;
  readonly #deadLetters: ReturnType<Meter["createCounter"]>;
  #depths: Set<AskDepths> | undefined;

  /** Makes the instruments. */
  constructor(provider: MeterProvider) {
    const meter = this.#meter = provider.getMeter(
      SCOPE.name,
      SCOPE.version,
      SCOPE.options,
    );
    const duration = (name: string, description: string) =>
      meter.createHistogram(name, {
        description,
        unit: "s",
        advice: { explicitBucketBoundaries: BUCKETS },
      });
    this.#operation = duration(
      "messaging.client.operation.duration",
      "Duration of messaging operation initiated by a producer or consumer client.",
    );
    this.#process = duration(
      "messaging.process.duration",
      "Duration of processing operation.",
    );
    const counter = (name: string, description: string, tally: Tally) =>
      meter.createObservableCounter(name, { unit: "{message}", description })
        .addCallback(tally.telling("error.type"));
    counter(
      "messaging.client.sent.messages",
      "Number of messages producer attempted to send to the broker.",
      this.#sent,
    );
    counter(
      "messaging.client.consumed.messages",
      "Number of messages that were delivered to the application.",
      this.#consumed,
    );
    meter.createObservableUpDownCounter("dashi.in_flight", {
      unit: "{message}",
      description:
        "Messages that are being published, or that a handler is at work on.",
    }).addCallback(this.#inFlight.telling("error.type"));
    // Deno reads no observable instrument when a program ends, and of these few each counts.
    this.#reconnects = meter.createCounter("dashi.reconnects", {
      unit: "{connection}",
      description: "Connections that were opened after the first one was lost.",
    });
    this.#retries = meter.createCounter("dashi.retries", {
      unit: "{message}",
      description:
        "Messages that are tried again, for their handler has failed.",
    });
    this.#deadLetters = meter.createCounter("dashi.dead_letters", {
      unit: "{message}",
      description: "Messages that were given up, by what became of them.",
    });
  }

  /** Returns the names of what is done at a server. */
  operations(to: Server): Operations {
    const { transport, hostname, port, peer, name } = to;
    const server = `${transport}\n${hostname}\n${port}`;
    const key = `${server}\n${name ?? ""}\n${peer?.address}\n${peer?.port}`;
    const known = this.#operations.get(key);
    if (known !== undefined) return known;
    let shared = this.#shared.get(server);
    if (shared === undefined) this.#shared.set(server, shared = new Map());
    const made = new Operations(to, shared);
    // A name may stand for ever other addresses.
    if (this.#operations.size >= MOST) this.#operations.clear();
    this.#operations.set(key, made);
    return made;
  }

  /** A publish has ended, after so many seconds. */
  published(
    attributes: Attributes,
    seconds: number,
    error: string | undefined,
  ): void {
    this.#inFlight.add(attributes, undefined, -1);
    this.#sent.add(attributes, error, 1);
    this.operated(attributes, seconds, error);
  }

  /** An operation of a client has ended. */
  operated(
    attributes: Attributes,
    seconds: number,
    error: string | undefined,
  ): void {
    this.#operation.record(seconds, withError(attributes, error));
  }

  /** So many messages are on the way: a publish or a handler has begun. */
  handling(attributes: Attributes, count: number): void {
    this.#inFlight.add(attributes, undefined, count);
  }

  /** A handler has ended, after so many seconds. */
  processed(
    attributes: Attributes,
    count: number,
    seconds: number,
    error: string | undefined,
  ): void {
    this.#inFlight.add(attributes, undefined, -count);
    this.#consumed.add(attributes, error, count);
    this.#process.record(seconds, withError(attributes, error));
  }

  /** A message was handed over to a call that has asked for it. */
  received(attributes: Attributes, seconds: number): void {
    this.#consumed.add(attributes, undefined, 1);
    this.operated(attributes, seconds, undefined);
  }

  /** A connection is there again. */
  reconnected(attributes: Attributes): void {
    this.#reconnects.add(1, attributes);
  }

  /** A message is tried again. */
  retried(attributes: Attributes, error: string): void {
    this.#retries.add(1, { ...attributes, "error.type": error });
  }

  /** A message was given up. */
  deadLettered(attributes: Attributes, reason: string): void {
    this.#deadLetters.add(1, { ...attributes, "dashi.reason": reason });
  }

  /** Asks for depths with each collection; returns a function that ends that. */
  watchDepths(ask: AskDepths): () => void {
    const depths = this.#depths ??= this.#gauge();
    depths.add(ask);
    return () => depths.delete(ask);
  }

  #gauge(): Set<AskDepths> {
    const all = new Set<AskDepths>();
    this.#meter.createObservableGauge("dashi.queue.depth", {
      unit: "{message}",
      description: "Messages of a queue that are ready to be delivered.",
    }).addCallback(async (result) => {
      for (const depths of await Promise.all([...all].map((ask) => ask()))) {
        for (const { depth, attributes } of depths) {
          result.observe(depth, attributes);
        }
      }
    });
    return all;
  }
}

/** By provider: two instruments of one name would tell the same numbers twice. */
const SHARED = new WeakMap<MeterProvider, Meters>();

/**
 * Finds the instruments of a provider, or makes them.
 *
 * @param api The API.
 * @param provider The provider; without one the global one.
 * @returns The instruments.
 */
export function metersOf(
  api: Api,
  provider: MeterProvider = api.metrics.getMeterProvider(),
): Meters {
  const known = SHARED.get(provider);
  if (known !== undefined) return known;
  const made = new Meters(provider);
  SHARED.set(provider, made);
  return made;
}

function withError(
  attributes: Attributes,
  error: string | undefined,
): Attributes {
  return error === undefined
    ? attributes
    : { ...attributes, "error.type": error };
}
