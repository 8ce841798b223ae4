import { asError } from "../../model/error_text.ts";
import { DecodeError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import {
  type Delivery,
  type DeliveryTag,
  deliveryTag,
  type MessageProperties,
} from "../../model/message.ts";
import { isDelayExchange, restore } from "./delay.ts";
import { fromFields, surelyLacks } from "./fields.ts";
import { withoutSlots } from "./ordered_layout.ts";
import type { RawMessage, RawProperties } from "./port.ts";
import type { QueueRetry } from "./queue_retry.ts";

/** The header in which the library counts attempts. */
const ATTEMPTS = "x-attempts";

/** The header in which the broker counts how often it came back. */
const COUNT = "x-delivery-count";

/** The argument that says where in a stream to begin, and the header that says where a message lies. */
export const OFFSET = "x-stream-offset";

/** The consumer, or the `get`, that a delivery was given to. */
export interface Holder {
  /** The maximum that it holds; acks are sent at a quarter of it, at the latest. */
  readonly prefetch: number;
}

/** What is known of the queue that a delivery comes from. */
export interface Origin {
  /** How it waits by itself, if it does. */
  readonly retry?: QueueRetry | undefined;
  /** Whether it is declared as a stream, or read from an offset. */
  readonly mayBeOfStream?: boolean | undefined;
}

/** A message from `get` counts against no prefetch. */
export const GOT: Holder = { prefetch: Infinity };

/** A delivery over the client's message: translated when it is read, for much of it never is. */
export class AmqpDelivery implements Delivery {
  readonly deliveryTag: DeliveryTag;
  readonly queue: string;
  readonly holder: Holder;
  /** A copy is being published, to come instead of it. */
  copying = false;
  readonly #message: RawMessage;
  readonly #retry: QueueRetry | undefined;
  readonly #mayBeOfStream: boolean;
  /** The exchange that it was published to, if it was delayed. */
  #exchange: string | undefined;
  #properties: MessageProperties | undefined;
  #malformed: Error | undefined;
  #body: Uint8Array | undefined;

  /** Makes a delivery of a message. */
  constructor(
    queue: string,
    message: RawMessage,
    holder: Holder,
    { retry, mayBeOfStream = false }: Origin = {},
  ) {
    this.deliveryTag = deliveryTag(message.fields.deliveryTag);
    this.queue = queue;
    this.holder = holder;
    this.#message = message;
    this.#retry = retry;
    this.#mayBeOfStream = mayBeOfStream;
  }

  /** The broker's queue that it comes from, and goes back to. */
  get origin(): string {
    return this.queue;
  }

  get exchange(): string {
    const { exchange } = this.#message.fields;
    if (!isDelayExchange(exchange)) return exchange;
    this.#properties ??= this.#read();
    return this.#exchange ?? exchange;
  }

  get routingKey(): string {
    return this.#message.fields.routingKey;
  }

  get redelivered(): boolean {
    return this.#message.fields.redelivered;
  }

  get deliveryCount(): number | undefined {
    const count = this.properties.headers?.[COUNT];
    return typeof count === "number" ? count : undefined;
  }

  /**
   * Whether it lies in a stream. The header alone does not say so: it goes with the message
   * where that is published again, and a queue of another type that is read with an offset
   * ignores that.
   */
  get isOfStream(): boolean {
    return this.#mayBeOfStream &&
      this.properties.headers?.[OFFSET] !== undefined;
  }

  get countsFailures(): boolean {
    return this.#retry !== undefined;
  }

  get retryDelay(): number | undefined {
    if (this.#retry === undefined) return undefined;
    const { min, max, most } = this.#retry;
    const failures = (this.deliveryCount ?? 0) + 1;
    return failures > most ? undefined : Math.min(min * failures, max);
  }

  get properties(): MessageProperties {
    return this.#properties ??= this.#read();
  }

  lacksHeader(name: string): boolean {
    const { headers } = this.#message.properties;
    return headers === undefined || surelyLacks(headers, name);
  }

  get body(): Uint8Array {
    const { content, properties: { leftOut } } = this.#message;
    if (leftOut instanceof Error) throw bodyError(this.queue, leftOut);
    return this.#body ??= plainBytes(content);
  }

  get malformed(): Error | undefined {
    const { leftOut } = this.#message.properties;
    if (leftOut instanceof Error) return leftOut;
    this.#properties ??= this.#read();
    return this.#malformed;
  }

  #read(): MessageProperties {
    const raw = this.#message.properties;
    let headers: FieldTable = {};
    try {
      if (raw.headers !== undefined) {
        headers = withoutSlots(fromFields(raw.headers));
      }
    } catch (error) {
      this.#malformed = asError(error);
    }
    const restored = restore(headers);
    if (restored === undefined) return translate(raw, this.#counted(headers));
    this.#exchange = restored.exchange;
    const { expiration } = restored;
    return {
      ...translate(raw, this.#counted(restored.headers)),
      expiration,
    };
  }

  /** With the attempts that the broker has counted, beside those that its publisher knows of. */
  #counted(headers: FieldTable): FieldTable {
    const { [ATTEMPTS]: before = 1, [COUNT]: failures } = headers;
    if (this.#retry === undefined || typeof failures !== "number") {
      return headers;
    }
    const first = Number(before);
    const attempts = Number.isSafeInteger(first) && first > 0 ? first : 1;
    return { ...headers, [ATTEMPTS]: attempts + failures };
  }
}

/** The client's own kind of bytes would compare, and print, differently. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  return Object.getPrototypeOf(bytes) === Uint8Array.prototype
    ? bytes
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Nothing is there that could be taken for the body. */
function bodyError(queue: string, cause: Error): DecodeError {
  return new DecodeError(
    `Cannot read the body of a message of queue ${
      quote(queue)
    }: ${cause.message}`,
    { cause },
  );
}

function translate(
  raw: RawProperties,
  headers: FieldTable,
): MessageProperties {
  const expiration = text(raw.expiration);
  return {
    contentType: text(raw.contentType),
    contentEncoding: text(raw.contentEncoding),
    headers,
    deliveryMode: raw.deliveryMode === 2
      ? "persistent"
      : raw.deliveryMode === 1
      ? "transient"
      : undefined,
    priority: number(raw.priority),
    correlationId: text(raw.correlationId),
    replyTo: text(raw.replyTo),
    expiration: expiration === undefined ? undefined : Number(expiration),
    messageId: text(raw.messageId),
    timestamp: date(raw.timestamp),
    type: text(raw.type),
    userId: text(raw.userId),
    appId: text(raw.appId),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function date(value: unknown): Date | undefined {
  if (value instanceof Date) return value;
  return typeof value === "number" ? new Date(value * 1000) : undefined;
}
