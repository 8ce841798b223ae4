import type { Channel, ChannelModel, ConfirmChannel, Options } from "amqplib";
import { Buffer } from "node:buffer";
import { createRequire } from "node:module";
import type { Duplex } from "node:stream";
import type { FieldTable } from "../../model/field_table.ts";
import type { ReplyCodeName } from "../../model/reply_code.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import { findReplyCode } from "../../model/reply_code.ts";
import { Corking } from "./corking.ts";
import { decodeFields, encodeFields, type RawValue } from "./fields.ts";
import type { DialOptions } from "./options.ts";

/** What the broker, or the socket, says went wrong. */
export interface Failure {
  /** AMQP's reply code by name, where the broker gave one. */
  readonly reply: ReplyCodeName | undefined;
  /** The broker's or the system's words. */
  readonly text: string;
  /** The client's error. */
  readonly cause: unknown;
}

/** A message as the client has it. */
export interface RawMessage {
  readonly content: Uint8Array;
  readonly fields: {
    readonly deliveryTag: number;
    readonly redelivered: boolean;
    readonly exchange: string;
    readonly routingKey: string;
    readonly replyText?: string;
  };
  readonly properties: RawProperties;
}

/** A message's properties as the client has them. */
export interface RawProperties {
  readonly contentType?: unknown;
  readonly contentEncoding?: unknown;
  readonly headers?: object | undefined;
  readonly deliveryMode?: unknown;
  readonly priority?: unknown;
  readonly correlationId?: unknown;
  readonly replyTo?: unknown;
  readonly expiration?: unknown;
  readonly messageId?: unknown;
  readonly timestamp?: unknown;
  readonly type?: unknown;
  readonly userId?: unknown;
  readonly appId?: unknown;
}

/** What a message is published with. */
export interface RawPublishing {
  readonly mandatory: boolean;
  readonly headers: { readonly [name: string]: RawValue } | undefined;
  readonly [name: string]: unknown;
}

/** What happens on a connection or a channel unasked. None of these may throw: the client would swallow it. */
export interface ClientEvents {
  /** It has ended; `failure` is undefined if it was closed by us. */
  closed(failure: Failure | undefined): void;
  blocked?(reason: string): void;
  unblocked?(): void;
  heard?(): void;
  returned?(message: RawMessage): void;
}

/** An open connection of the client's. */
export class AmqpClient {
  readonly #model: ChannelModel;
  readonly #corking: Corking;
  readonly #stream: Duplex | undefined;

  private constructor(model: ChannelModel, events: ClientEvents) {
    this.#model = model;
    this.#stream = streamOf(model);
    this.#corking = new Corking(this.#stream);
    let failure: Failure | undefined;
    model.on("error", (error) => failure ??= describe(error));
    model.on("close", (error) => {
      events.closed(
        failure ?? (error === undefined ? undefined : describe(error)),
      );
    });
    model.on("blocked", (reason) => events.blocked?.(String(reason)));
    model.on("unblocked", () => events.unblocked?.());
    this.#stream?.on("readable", () => events.heard?.());
  }

  /**
   * Dials once.
   *
   * @param options Where to, and as whom.
   * @param password The password.
   * @param timeout Milliseconds of silence after which the socket is destroyed.
   * @param events Hears of what happens unasked.
   * @returns The connection.
   * @throws The client's error: `describe` it.
   */
  static async dial(
    options: DialOptions,
    password: string,
    timeout: number,
    events: ClientEvents,
  ): Promise<AmqpClient> {
    const { hostname, port, tls } = options;
    const { connect, credentials } = await load();
    const model = await connect({
      protocol: tls === undefined ? "amqp" : "amqps",
      hostname,
      port,
      vhost: encodeURIComponent(options.virtualHost),
      heartbeat: options.heartbeat,
      frameMax: options.frameMax,
      channelMax: options.channelMax,
    }, {
      noDelay: true,
      timeout,
      clientProperties: clientProperties(options.clientProperties),
      credentials: options.loginMethod === "EXTERNAL"
        ? credentials.external()
        : credentials.plain(options.userid, password),
      ...tlsOptions(tls),
    });
    return new AmqpClient(model, events);
  }

  /** Opens a channel with confirms. */
  async openChannel(events: ClientEvents): Promise<AmqpClientChannel> {
    const channel = await this.#model.createConfirmChannel();
    return new AmqpClientChannel(channel, this.#corking, events);
  }

  /** Says goodbye and waits for the answer. */
  async close(): Promise<void> {
    this.#corking.flush();
    await this.#model.close();
    // The broker has said goodbye: nothing more comes.
    this.destroy();
  }

  /** Cuts the socket: the broker does not answer. */
  destroy(): void {
    // With an error: amqplib stops its heartbeats by that, and not by the closing alone.
    this.#stream?.destroy(new Error("the socket was cut"));
  }
}

/** An open channel of the client's. */
export class AmqpClientChannel {
  readonly #channel: ConfirmChannel;
  readonly #corking: Corking;

  /** Made by {@linkcode AmqpClient.openChannel}. */
  constructor(
    channel: ConfirmChannel,
    corking: Corking,
    events: ClientEvents,
  ) {
    this.#channel = channel;
    this.#corking = corking;
    let failure: Failure | undefined;
    channel.on("error", (error) => failure ??= describe(error));
    channel.on("close", () => events.closed(failure));
    channel.on("return", (message) => events.returned?.(message));
  }

  /** The client's own calls, for what needs no translation. */
  get calls(): Omit<Channel, "publish" | "consume" | "get" | "ack" | "reject"> {
    return this.#channel;
  }

  /** Publishes; `done` is called with what went wrong, or with nothing. */
  publish(
    exchange: string,
    routingKey: string,
    body: Uint8Array,
    options: RawPublishing,
    done: (error: unknown) => void,
  ): void {
    this.#corking.cork();
    this.#channel.publish(exchange, routingKey, toBuffer(body), options, done);
  }

  /** Starts a consumer; `undefined` instead of a message says that the broker has ended it. */
  async consume(
    queue: string,
    onMessage: (message: RawMessage | undefined) => void,
    options: Options.Consume,
  ): Promise<void> {
    await this.#channel.consume(
      queue,
      (message) => onMessage(message ?? undefined),
      options,
    );
  }

  /** Takes one message. */
  async get(queue: string, noAck: boolean): Promise<RawMessage | undefined> {
    const message = await this.#channel.get(queue, { noAck });
    return message === false ? undefined : message;
  }

  /** Acks a delivery, or all up to it. */
  ack(deliveryTag: number, multiple: boolean): void {
    this.#corking.cork();
    this.#channel.ack(tagged(deliveryTag), multiple);
  }

  /** Rejects a delivery. */
  reject(deliveryTag: number, requeue: boolean): void {
    this.#corking.cork();
    this.#channel.reject(tagged(deliveryTag), requeue);
  }

  /** Closes it and waits for the answer. */
  async close(): Promise<void> {
    this.#corking.flush();
    await this.#channel.close();
  }
}

/**
 * Writes a table as the client takes it.
 *
 * @param table The table.
 * @returns What the client writes.
 * @throws {EncodeError} If a value has no type in AMQP.
 */
export function toFields(
  table: FieldTable,
): { readonly [name: string]: RawValue } {
  return encodeFields(table, toBuffer);
}

/**
 * Says what a client's error is about.
 *
 * @param cause The client's error.
 * @returns The broker's reply code and words, where it gave some.
 */
export function describe(cause: unknown): Failure {
  const text = cause instanceof Error ? textOf(cause) : String(cause);
  const code = cause instanceof Error && "code" in cause &&
      typeof cause.code === "number"
    ? cause.code
    : Number(/(?:\b|"replyCode": )([3-5]\d\d)(?: \([A-Z]|,)/.exec(text)?.[1]);
  // The client wraps the broker's words: …with message "WORDS", or as JSON.
  const words = /with message "(.*)"$/s.exec(text)?.[1] ??
    /"replyText": "(.*)"/.exec(text)?.[1] ?? text;
  return { reply: findReplyCode(code)?.name, text: words, cause };
}

function textOf(error: Error): string {
  const { message } = error;
  if (message !== "") return message;
  // A host with several addresses: the text is in the parts.
  if (error instanceof AggregateError) {
    return error.errors.map((each) => textOf(each)).join("; ");
  }
  return "code" in error ? String(error.code) : error.name;
}

/** The client's acks take a message, of which they read the tag alone. */
function tagged(deliveryTag: number) {
  return {
    content: EMPTY,
    fields: { deliveryTag, redelivered: false, exchange: "", routingKey: "" },
    properties: NO_PROPERTIES,
  };
}

const EMPTY = Buffer.alloc(0);
const NO_PROPERTIES = {
  contentType: undefined,
  contentEncoding: undefined,
  headers: undefined,
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
  clusterId: undefined,
};

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function clientProperties(table: FieldTable): Record<string, unknown> {
  return { ...toFields(table) };
}

function tlsOptions(tls: TlsOptions | undefined): Record<string, unknown> {
  if (tls === undefined) return {};
  const { ca, cert, key, passphrase, servername } = tls;
  const options: Record<string, unknown> = {
    rejectUnauthorized: tls.verify ?? true,
  };
  if (ca !== undefined) options.ca = typeof ca === "string" ? [ca] : [...ca];
  if (cert !== undefined) options.cert = cert;
  if (key !== undefined) options.key = key;
  if (passphrase !== undefined) options.passphrase = passphrase;
  if (servername !== undefined) options.servername = servername;
  if (tls.checkHostname === false) {
    options.checkServerIdentity = () => undefined;
  }
  return options;
}

/** Under this key a table holds its own bytes, for `decodeFields` to read. */
const BYTES = Symbol("bytes");

/**
 * Reads a table that the client has decoded, from its bytes if they are at hand.
 *
 * @param table The client's table.
 * @returns The table.
 * @throws {DecodeError} If a value has an unknown type.
 */
export function fromFields(table: object): FieldTable {
  const bytes = BYTES in table ? table[BYTES] : undefined;
  if (bytes instanceof Uint8Array) return decodeFields(bytes);
  return Object.fromEntries(Object.entries(table));
}

/**
 * Imports amqplib, mended where it loses what the broker says: a table that it can
 * not read ends its connection, and so does every reconnect that meets the message
 * again; and of a virtual host that is refused it tells no reason. The mends reach
 * into its files, so the version is pinned; where they are not found, all else works.
 */
async function load(): Promise<typeof import("amqplib")> {
  for (const specifier of ["amqplib", "npm:amqplib@2.3.1"]) {
    try {
      mend(createRequire(import.meta.resolve(specifier)));
      break;
    } catch {
      // Not by this name: a bundler has it, or a registry's own loader.
    }
  }
  return await import("amqplib");
}

function mend(
  requireFile: (file: string) => Record<PropertyKey, unknown>,
): void {
  const codec = requireFile("./lib/codec.js");
  const { decodeFields: decode } = codec;
  if (MENDED in codec || !isFunction(decode)) return;
  codec[MENDED] = true;
  // First of all: what is required next takes the function as it finds it.
  codec.decodeFields = (bytes: unknown) => {
    let table: object = {};
    try {
      const decoded = decode(bytes);
      if (typeof decoded === "object" && decoded !== null) table = decoded;
    } catch {
      // Whoever reads it from the bytes hears why.
    }
    return Object.defineProperty(table, BYTES, { value: bytes });
  };
  const format = requireFile("./lib/format.js");
  const { inspect } = format;
  if (!isFunction(inspect)) return;
  format.inspect = (frame: unknown, showFields: unknown) =>
    inspect(frame, showFields || isRefusal(frame));
}

const MENDED = Symbol.for("@dashi/mq: mended");

function isRefusal(frame: unknown): boolean {
  return typeof frame === "object" && frame !== null && "fields" in frame &&
    typeof frame.fields === "object" && frame.fields !== null &&
    "replyText" in frame.fields;
}

function isFunction(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === "function";
}

/** The socket, which amqplib keeps to itself: without it the transport is slower, and its sign of life is the heartbeat's. */
function streamOf(model: ChannelModel): Duplex | undefined {
  const { connection } = model;
  if (!("stream" in connection)) return undefined;
  const { stream } = connection;
  return isDuplex(stream) ? stream : undefined;
}

function isDuplex(stream: unknown): stream is Duplex {
  return typeof stream === "object" && stream !== null && "cork" in stream &&
    "destroy" in stream && "on" in stream;
}
