import { Line } from "../async/line.ts";
import type * as codec from "../codec/mod.ts";
import { MOST_EXPIRATION } from "../model/checks.ts";
import { ClosedError, TimeoutError } from "../model/errors.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { MessageProperties, Publishing } from "../model/message.ts";
import type { Entity } from "./declarations.ts";
import { Exchange, exchangeName } from "./exchange.ts";
import {
  checkCount,
  limitsOf,
  type OperationOptions,
} from "./operation_options.ts";
import { PublishWindow } from "./publish_window.ts";
import type { PublishCall, SessionPublisher } from "./publisher.ts";
import { Queue } from "./queue.ts";
import type { Session } from "./session.ts";

/** Options of `connection.producer`. What stands in `PublishOptions` wins. */
export interface ProducerOptions {
  /** The exchange to publish to; as an `Exchange` it is declared first. @default {the default exchange} */
  readonly exchange?: Exchange | string | undefined;
  /** The key to publish with. @default {""} */
  readonly routingKey?: string | undefined;
  /** What to declare before the first message. */
  readonly declare?: readonly Entity[] | undefined;
  /** How payloads are written: `"json"`, `"text"`, `"bytes"`, `"yaml"`, `"msgpack"`. @default {bytes for bytes, text for text, json for all else} */
  readonly serializer?: string | undefined;
  /** What bodies are compressed with: `"gzip"` (Kombu's name for zlib's format), `"brotli"`, `"zstd"`. @default {nothing} */
  readonly compression?: string | undefined;
  /** The most messages that wait for the broker's answer; further ones wait for their turn. @default {1000} */
  readonly maxInFlight?: number | undefined;
}

/** Options of {@linkcode Producer.publish}. */
export interface PublishOptions extends OperationOptions {
  /** The exchange to publish to; as an `Exchange` it is declared first. `""` is the default exchange. */
  readonly exchange?: Exchange | string | undefined;
  /** The key to publish with; to the default exchange, the queue's name. */
  readonly routingKey?: string | undefined;
  /** Whether it is an error that no queue takes the message. @default {true to the default exchange where the broker knows its queues, else false} */
  readonly mandatory?: boolean | undefined;
  /** What to declare first; each once a connection. */
  readonly declare?: readonly Entity[] | undefined;
  /** How the payload is written. */
  readonly serializer?: string | undefined;
  /** What the body is compressed with; `""` is nothing. */
  readonly compression?: string | undefined;
  /** The MIME type of a payload that is a body already, a string or bytes: it is not serialized. */
  readonly contentType?: string | undefined;
  /** The character set of such a body. */
  readonly contentEncoding?: string | undefined;
  /** The application's own headers. */
  readonly headers?: FieldTable | undefined;
  /** From 0 to 9; the higher comes first. */
  readonly priority?: number | undefined;
  /** Milliseconds that the message may wait in a queue. */
  readonly expiration?: number | undefined;
  /** Milliseconds until it may be delivered. */
  readonly delay?: number | undefined;
  /** Whether it outlives a restart of the broker. @default {true} */
  readonly persistent?: boolean | undefined;
  /** Says which request a reply belongs to. */
  readonly correlationId?: string | undefined;
  /** The queue that a reply should go to. A `Queue` is declared first. */
  readonly replyTo?: Queue | string | undefined;
  /** Names the message. @default {a random UUID} */
  readonly messageId?: string | undefined;
  /** When the message was made. */
  readonly timestamp?: Date | undefined;
  /** The application's name for this kind of message. */
  readonly type?: string | undefined;
  /** The user that publishes; RabbitMQ checks it. */
  readonly userId?: string | undefined;
  /** The application that publishes. */
  readonly appId?: string | undefined;
  /** Whether to publish again what a lost connection left open: at least once, under the same message id. @default {true unless the connection's `retry` is false} */
  readonly retry?: boolean | undefined;
}

/**
 * Publishes messages. Call `publish` many times without waiting: it pipelines.
 *
 * @typeParam T What it publishes.
 *
 * @example Publish to a queue
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://producer");
 * const orders = new Queue("orders");
 * const producer = connection.producer<{ id: number }>({ declare: [orders] });
 * await producer.publish({ id: 1 }, { routingKey: "orders" });
 *
 * const [status] = await connection.declare(orders);
 * assertEquals(status?.messageCount, 1);
 * ```
 */
export class Producer<T = unknown> implements AsyncDisposable {
  readonly #session: Session;
  readonly #publisher: SessionPublisher;
  readonly #codecs: codec.CodecRegistry;
  readonly #options: ProducerOptions;
  readonly #declare: readonly Entity[];
  readonly #window: PublishWindow;
  readonly #onClosed: () => void;
  readonly #line = new Line();
  #closed = false;

  /** Made by `connection.producer`. */
  constructor(
    session: Session,
    publisher: SessionPublisher,
    codecs: codec.CodecRegistry,
    options: ProducerOptions,
    onClosed: () => void,
  ) {
    const { exchange, declare = [], maxInFlight = 1000 } = options;
    checkCount("maxInFlight", maxInFlight, Number.MAX_SAFE_INTEGER);
    this.#session = session;
    this.#publisher = publisher;
    this.#codecs = codecs;
    this.#options = options;
    this.#onClosed = onClosed;
    this.#declare = exchange instanceof Exchange
      ? [exchange, ...declare]
      : declare;
    this.#window = new PublishWindow(publisher, session.limits, maxInFlight);
  }

  /**
   * Publishes a message, and resolves when the broker has accepted it.
   *
   * @throws {EncodeError} If the payload can not be written.
   * @throws {UnroutableError} If it is mandatory and no queue takes it.
   * @throws {NotFoundError} If there is no such exchange.
   * @throws {PublishError} If the broker refuses it.
   * @throws {TimeoutError} If there is no answer in time; `outcome` says whether it may have been sent.
   * @throws {RangeError} If a number is out of range.
   */
  publish(payload: T, options: PublishOptions = {}): Promise<void> {
    try {
      if (this.#closed) throw closedError();
      options.signal?.throwIfAborted();
      const call = this.#limits(options);
      const replyTo = this.#replyTo(options.replyTo);
      if (
        this.#line.busy || replyTo === UNKNOWN ||
        this.#isLazy(options) ||
        !this.#isDeclared(this.#declare) ||
        !this.#isDeclared(options.declare) ||
        (options.exchange instanceof Exchange &&
          !this.#session.declarations.has(options.exchange))
      ) return this.#publishInLine(payload, options, call);
      return this.#window.pass(this.#message(payload, options, replyTo), call);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Waits for the answers to what is in flight, and publishes no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#window.drain();
    this.#onClosed();
  }

  /** What has to be declared first must not be overtaken by what comes after it. */
  #publishInLine(
    payload: T,
    options: PublishOptions,
    call: PublishCall,
  ): Promise<void> {
    const { limits } = this.#session;
    const turn = this.#line.stand(async () => {
      limits.check(call, () => "publish");
      await this.#load(options);
      await this.#publisher.declare(this.#entitiesOf(options), call);
      const replyTo = this.#replyTo(options.replyTo);
      return this.#message(
        payload,
        options,
        replyTo === UNKNOWN ? undefined : replyTo,
      );
    });
    let passed = false;
    const published = turn.taken.then((message) => {
      passed = true;
      return this.#window.pass(message, call);
    });
    const waiting = limits.wait(
      published,
      call,
      () =>
        new TimeoutError(
          passed
            ? "Cannot publish in time: the broker has not answered"
            : "Cannot publish in time: what it needs is not declared yet",
          { outcome: passed ? "unknown" : "not-sent" },
        ),
    );
    // Who waits no longer must not stay in the line, with the payload.
    waiting.catch(() => turn.leave());
    return waiting;
  }

  /** Whether the codec or the compression has yet to be loaded. */
  #isLazy(options: PublishOptions): boolean {
    const { serializer, compression } = this.#formatOf(options);
    return (serializer !== undefined && this.#codecs.isLazy(serializer)) ||
      (compression !== undefined &&
        this.#codecs.isLazyCompression(compression));
  }

  /** Loads both. If that fails, encoding says so. */
  async #load(options: PublishOptions): Promise<void> {
    const { serializer, compression } = this.#formatOf(options);
    await Promise.allSettled([
      serializer && this.#codecs.prepare(serializer),
      compression && this.#codecs.prepareCompression(compression),
    ]);
  }

  #formatOf(options: PublishOptions): codec.EncodeOptions {
    const { contentType, contentEncoding } = options;
    const { serializer, compression } = this.#options;
    return {
      // A body of a type that is named is a body already.
      serializer: options.serializer ??
        (contentType === undefined ? serializer : undefined),
      compression: options.compression ?? compression,
      contentType,
      contentEncoding,
    };
  }

  #entitiesOf({ exchange, declare, replyTo }: PublishOptions): Entity[] {
    const entities: Entity[] = [...this.#declare, ...declare ?? []];
    if (exchange instanceof Exchange) entities.push(exchange);
    if (replyTo instanceof Queue) entities.push(replyTo);
    return entities;
  }

  #isDeclared(entities: readonly Entity[] | undefined): boolean {
    if (entities === undefined) return true;
    const { declarations } = this.#session;
    for (const entity of entities) {
      if (!declarations.has(entity)) return false;
    }
    return true;
  }

  #replyTo(
    replyTo: Queue | string | undefined,
  ): string | undefined | typeof UNKNOWN {
    if (!(replyTo instanceof Queue)) return replyTo;
    return this.#session.declarations.nameOf(replyTo) ?? UNKNOWN;
  }

  #limits(options: PublishOptions): PublishCall {
    const { clock, endpoint, retryPolicy } = this.#session;
    const call = limitsOf(options, clock, endpoint.operationTimeout);
    return {
      signal: call.signal,
      deadline: call.deadline,
      retry: options.retry ?? retryPolicy !== false,
    };
  }

  #message(
    payload: T,
    options: PublishOptions,
    replyTo: string | undefined,
  ): Publishing {
    const exchange = exchangeName(
      options.exchange ?? this.#options.exchange ?? "",
    );
    const routingKey = options.routingKey ?? this.#options.routingKey ?? "";
    const encoded = this.#codecs.encode(payload, this.#formatOf(options));
    return {
      exchange,
      routingKey,
      mandatory: options.mandatory ??
        (exchange === "" && this.#session.knowsQueues),
      delay: checkRange("delay", options.delay, 0, MOST_DELAY) ?? 0,
      properties: propertiesOf(options, replyTo, encoded),
      body: encoded.body,
      ownsProperties: true,
    };
  }
}

/** What a Date can tell the end of, ms. */
const MOST_DELAY = Number.MAX_SAFE_INTEGER;

/** A queue whose name the broker has not chosen yet. */
const UNKNOWN = Symbol("unknown");

function propertiesOf(
  options: PublishOptions,
  replyTo: string | undefined,
  { contentType, contentEncoding, compression }: codec.EncodedBody,
): MessageProperties {
  return {
    contentType,
    contentEncoding,
    headers: compression === undefined
      ? options.headers
      : { ...options.headers, compression },
    deliveryMode: options.persistent === false ? "transient" : "persistent",
    priority: checkRange("priority", options.priority, 0, 9),
    correlationId: options.correlationId,
    replyTo,
    expiration: checkRange(
      "expiration",
      options.expiration,
      0,
      MOST_EXPIRATION,
    ),
    messageId: options.messageId ?? crypto.randomUUID(),
    timestamp: options.timestamp,
    type: options.type,
    userId: options.userId,
    appId: options.appId,
  };
}

function checkRange(
  name: string,
  value: number | undefined,
  least: number,
  most: number,
): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && value >= least && value <= most) {
    return Math.ceil(value);
  }
  throw new RangeError(
    `Cannot publish with ${name} ${value}: it must be a number from ${least} to ${most}`,
  );
}

function closedError(): ClosedError {
  return new ClosedError("Cannot publish: the producer is closed", {
    outcome: "not-sent",
  });
}
