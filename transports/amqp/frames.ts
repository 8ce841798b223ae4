import { rawTable } from "../amqp_protocol/fields.ts";
import type { RawProperties } from "../amqp_protocol/port.ts";
import { shortText } from "../amqp_protocol/short_text.ts";

type Bytes = Uint8Array<ArrayBufferLike>;
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** A frame of amqplib's: a body's has `content`, a message's header has `size` and `fields`. */
export interface Frame {
  readonly id?: unknown;
  readonly channel: number;
  readonly content?: Bytes;
  readonly fields?: object;
  size?: number;
}

const [METHOD, CONTENT_HEADER, CONTENT_BODY] = [1, 2, 3];
const FRAME_END = 206;
/** A frame's type, channel and size. */
const HEADER = 7;
/** The id of `basic`, whose messages have bodies. */
export const BASIC = 60;
const BASIC_DELIVER = 60 * 2 ** 16 + 60;
const BASIC_ACK = 60 * 2 ** 16 + 80;
const TEXT = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads a frame of the kinds that nearly all are: of a delivery, or of a confirm. It is
 * what amqplib would make of it, for less; but for properties, which stay bytes until somebody looks, and bodies, which are plain bytes.
 *
 * @param bytes The bytes around it, all of them.
 * @param start The offset at which it begins.
 * @param size How many bytes it has.
 * @returns The frame; `undefined` where it is for amqplib to read, or to refuse.
 * @throws {RangeError} If its parts have more bytes than it.
 */
export function readFrame(
  bytes: Bytes,
  start: number,
  size: number,
): Frame | undefined {
  const end = start + size - 1;
  if (bytes[end] !== FRAME_END) return undefined;
  const channel = short(bytes, start + 1);
  const at = start + HEADER;
  switch (bytes[start]) {
    case CONTENT_BODY:
      return { channel, content: view(bytes, at, end) };
    case CONTENT_HEADER:
      if (end - at < 14 || short(bytes, at) !== BASIC) return undefined;
      return {
        id: BASIC,
        channel,
        size: longlong(bytes, at + 4),
        fields: new LateProperties(bytes, at + 12, end),
      };
    case METHOD:
      return end - at < 4 ? undefined : readMethod(bytes, at, end, channel);
    default:
      return undefined;
  }
}

function readMethod(
  bytes: Bytes,
  at: number,
  end: number,
  channel: number,
): Frame | undefined {
  const id = long(bytes, at);
  switch (id) {
    case BASIC_DELIVER:
      return {
        id,
        channel,
        fields: new Reader(bytes, at + 4, end).delivery(),
      };
    case BASIC_ACK: {
      if (end - at < 13) return undefined;
      const deliveryTag = longlong(bytes, at + 4);
      const multiple = (octet(bytes, at + 12) & 1) !== 0;
      return { id, channel, fields: { deliveryTag, multiple } };
    }
    default:
      return undefined;
  }
}

class Reader {
  readonly #bytes: Bytes;
  readonly #end: number;
  #at: number;

  constructor(bytes: Bytes, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  delivery(): object {
    const bytes = this.#bytes;
    const consumerTag = this.#name();
    const deliveryTag = longlong(bytes, this.#take(8));
    const redelivered = (octet(bytes, this.#take(1)) & 1) !== 0;
    const exchange = this.#name();
    const routingKey = this.#name();
    return { consumerTag, deliveryTag, redelivered, exchange, routingKey };
  }

  /** Goes past properties, which is a fraction of reading them; returns the offset of the headers, 0 where there are none. */
  passProperties(): number {
    const bytes = this.#bytes;
    const flags = short(bytes, this.#take(2));
    if (flags & 0x8000) this.#pass();
    if (flags & 0x4000) this.#pass();
    const headers = flags & 0x2000 ? this.#at : 0;
    if (headers > 0) this.#passTable();
    if (flags & 0x1000) this.#take(1);
    if (flags & 0x0800) this.#take(1);
    if (flags & 0x0400) this.#pass();
    if (flags & 0x0200) this.#pass();
    if (flags & 0x0100) this.#pass();
    if (flags & 0x0080) this.#pass();
    if (flags & 0x0040) this.#take(8);
    if (flags & 0x0020) this.#pass();
    if (flags & 0x0010) this.#pass();
    if (flags & 0x0008) this.#pass();
    return headers;
  }

  /** All but the headers, which are read apart. */
  properties(): Omit<RawProperties, "headers"> {
    const bytes = this.#bytes;
    const flags = short(bytes, this.#take(2));
    const read: Writable<Omit<RawProperties, "headers">> = {
      contentType: undefined,
      contentEncoding: undefined,
      deliveryMode: undefined,
      priority: undefined,
      correlationId: undefined,
      replyTo: undefined,
      expiration: undefined,
      messageId: undefined,
      timestamp: undefined,
      type: undefined,
      userId: undefined,
      appId: undefined,
    };
    if (flags & 0x8000) read.contentType = this.#name();
    if (flags & 0x4000) read.contentEncoding = this.#name();
    if (flags & 0x2000) this.#passTable();
    if (flags & 0x1000) read.deliveryMode = octet(bytes, this.#take(1));
    if (flags & 0x0800) read.priority = octet(bytes, this.#take(1));
    if (flags & 0x0400) read.correlationId = this.#text();
    if (flags & 0x0200) read.replyTo = this.#name();
    if (flags & 0x0100) read.expiration = this.#name();
    if (flags & 0x0080) read.messageId = this.#text();
    if (flags & 0x0040) read.timestamp = longlong(bytes, this.#take(8));
    if (flags & 0x0020) read.type = this.#name();
    if (flags & 0x0010) read.userId = this.#name();
    if (flags & 0x0008) read.appId = this.#name();
    return read;
  }

  #pass(): void {
    this.#take(octet(this.#bytes, this.#take(1)));
  }

  #passTable(): void {
    this.#take(long(this.#bytes, this.#take(4)));
  }

  /** A short string that other messages have too. */
  #name(): string {
    const length = octet(this.#bytes, this.#take(1));
    return shortText(this.#bytes, this.#take(length), length);
  }

  /** A short string of this message alone. */
  #text(): string {
    const length = octet(this.#bytes, this.#take(1));
    const start = this.#take(length);
    return TEXT.decode(view(this.#bytes, start, start + length));
  }

  #take(length: number): number {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#end) {
      throw new RangeError("a frame has less than its parts say");
    }
    return start;
  }
}

/** Properties that are read when somebody looks: most handlers never do. `run` looks for a header. */
class LateProperties implements RawProperties {
  readonly #bytes: Bytes;
  readonly #start: number;
  readonly #end: number;
  readonly #headersAt: number;
  #headers: object | undefined;
  #all: Omit<RawProperties, "headers"> | undefined;
  /** Why the body is left out, where it is. */
  leftOut: unknown = undefined;

  /** Refuses those that have more bytes than there are. */
  constructor(bytes: Bytes, start: number, end: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#headersAt = new Reader(bytes, start, end).passProperties();
  }

  get #read(): Omit<RawProperties, "headers"> {
    return this.#all ??= new Reader(this.#bytes, this.#start, this.#end)
      .properties();
  }

  get contentType(): unknown {
    return this.#read.contentType;
  }

  get contentEncoding(): unknown {
    return this.#read.contentEncoding;
  }

  get headers(): object | undefined {
    const at = this.#headersAt;
    if (at === 0) return undefined;
    const start = at + 4;
    return this.#headers ??= rawTable(
      view(this.#bytes, start, start + long(this.#bytes, at)),
    );
  }

  get deliveryMode(): unknown {
    return this.#read.deliveryMode;
  }

  get priority(): unknown {
    return this.#read.priority;
  }

  get correlationId(): unknown {
    return this.#read.correlationId;
  }

  get replyTo(): unknown {
    return this.#read.replyTo;
  }

  get expiration(): unknown {
    return this.#read.expiration;
  }

  get messageId(): unknown {
    return this.#read.messageId;
  }

  get timestamp(): unknown {
    return this.#read.timestamp;
  }

  get type(): unknown {
    return this.#read.type;
  }

  get userId(): unknown {
    return this.#read.userId;
  }

  get appId(): unknown {
    return this.#read.appId;
  }
}

/** Not by subarray(): that makes bytes of amqplib's kind, which is slower. */
function view(bytes: Bytes, start: number, end: number): Bytes {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

function octet(bytes: Bytes, at: number): number {
  return bytes[at] ?? 0;
}

function short(bytes: Bytes, at: number): number {
  return (octet(bytes, at) << 8) | octet(bytes, at + 1);
}

function long(bytes: Bytes, at: number): number {
  return octet(bytes, at) * 2 ** 24 +
    ((octet(bytes, at + 1) << 16) | short(bytes, at + 2));
}

function longlong(bytes: Bytes, at: number): number {
  return long(bytes, at) * 2 ** 32 + long(bytes, at + 4);
}
