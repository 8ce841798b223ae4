import {
  decodeBase64,
  encodeBase64,
  parseJson,
  stringifyJson,
  stringifyLooseJson,
} from "../../codec/mod.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";
import type { FieldTable, FieldValue } from "../../model/field_table.ts";
import type { MessageProperties, Publishing } from "../../model/message.ts";

/** The parts of a message as JSON envelopes hold them. */
export interface Envelope {
  /** The message; never mandatory, and without a delay. */
  readonly message: Publishing;
  /** The publisher's name for it, the same in all its copies. */
  readonly deliveryTag: string | undefined;
  /** Whether it was put back after a delivery. */
  readonly redelivered: boolean;
}

/** How an envelope begins: its body in base64 follows. */
export const ENVELOPE_HEAD = '{"body": "';

/** Short strings that were quoted before: names of exchanges, types, keys. */
class Quotes {
  readonly #known = new Map<string, string>();

  quote(text: string): string {
    if (text.length > 64) return JSON.stringify(text);
    let quoted = this.#known.get(text);
    if (quoted === undefined) {
      if (this.#known.size >= 1000) this.#known.clear();
      this.#known.set(text, quoted = JSON.stringify(text));
    }
    return quoted;
  }
}

/** The beginning of a tail, and what it says. */
interface LastHead {
  readonly contentEncoding: string | undefined;
  readonly contentType: string | undefined;
  readonly text: string;
  readonly isAscii: boolean;
}

/** The end of a tail up to the message's own name, and what it says. */
interface LastInfo {
  readonly routingKey: string;
  readonly exchange: string;
  readonly deliveryMode: MessageProperties["deliveryMode"];
  readonly priority: number;
  readonly text: string;
  readonly isAscii: boolean;
}

/**
 * Writes envelopes: what Kombu stores on brokers that know no properties. One for each connection.
 *
 * @example Written, and read again
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { EnvelopeWriter, readEnvelope } from "@dashi/mq/store";
 *
 * const message = {
 *   exchange: "",
 *   routingKey: "orders",
 *   mandatory: true,
 *   delay: 0,
 *   properties: {},
 *   body: new Uint8Array(),
 * };
 * const text = new EnvelopeWriter().write(message, crypto.randomUUID());
 * assertEquals(readEnvelope(text).message.routingKey, "orders");
 * ```
 */
export class EnvelopeWriter {
  readonly #quotes = new Quotes();
  /** The parts of the last envelope that most messages of a queue share. */
  #lastHead: LastHead | undefined;
  #isAscii = false;
  #lastInfo: LastInfo | undefined;

  /**
   * Writes a message as Kombu's envelope: JSON, the body in base64.
   *
   * A `timestamp` is written as seconds since 1970, as on AMQP. Put together as text:
   * an object that is stringified costs a third more.
   *
   * @param message The message.
   * @param deliveryTag Names it; a UUID.
   * @returns The envelope.
   * @throws {EncodeError} If a header cannot be written as JSON.
   */
  write(message: Publishing, deliveryTag: string): string {
    return ENVELOPE_HEAD + encodeBase64(message.body) +
      this.writeTail(message, deliveryTag);
  }

  /**
   * Writes what an envelope has behind its body, for who puts it together to know its size:
   * {@linkcode ENVELOPE_HEAD}, the body in base64, and this.
   *
   * @param message The message.
   * @param deliveryTag Names it; a UUID.
   * @returns The envelope from the quote that ends the body.
   * @throws {EncodeError} If a header cannot be written as JSON.
   */
  writeTail(message: Publishing, deliveryTag: string): string {
    const { headers } = message.properties;
    const first = this.#beforeHeaders(message);
    const last = this.#beforeTag(message);
    const rest = this.#rest(message);
    this.#isAscii = headers === undefined && first.isAscii && last.isAscii &&
      isAscii(rest);
    return first.text +
      (headers === undefined
        ? "{}"
        : message.republished
        ? stringifyLooseJson(headers)
        : stringifyJson(headers)) +
      `, "properties": {${rest}${last.text}${quoteName(deliveryTag)}}}`;
  }

  /** Whether the tail that was written last is known to be ASCII: each character is a byte. */
  get isAscii(): boolean {
    return this.#isAscii;
  }

  /** As for the message before, where that was alike. */
  #beforeHeaders({ properties }: Publishing): LastHead {
    const { contentEncoding, contentType } = properties;
    let last = this.#lastHead;
    if (
      last === undefined || last.contentEncoding !== contentEncoding ||
      last.contentType !== contentType
    ) {
      // Joined: that is one piece, which is written as it is.
      const text = [
        `", "content-encoding": ${this.#quote(contentEncoding)}`,
        `, "content-type": ${this.#quote(contentType)}, "headers": `,
      ].join("");
      last = { contentEncoding, contentType, text, isAscii: isAscii(text) };
      this.#lastHead = last;
    }
    return last;
  }

  #beforeTag({ properties, exchange, routingKey }: Publishing): LastInfo {
    const { deliveryMode, priority = 0 } = properties;
    let last = this.#lastInfo;
    if (
      last === undefined || last.routingKey !== routingKey ||
      last.exchange !== exchange ||
      last.deliveryMode !== deliveryMode || last.priority !== priority
    ) {
      const text = [
        `"delivery_mode": ${deliveryMode === "transient" ? 1 : 2}`,
        `, "delivery_info": {"exchange": ${this.#quote(exchange)}`,
        `, "routing_key": ${this.#quote(routingKey)}}, "priority": ${priority}`,
        `, "body_encoding": "base64", "delivery_tag": `,
      ].join("");
      const what = { routingKey, exchange, deliveryMode, priority };
      this.#lastInfo = last = { ...what, text, isAscii: isAscii(text) };
    }
    return last;
  }

  #quote(text: string | undefined): string {
    return text === undefined ? "null" : this.#quotes.quote(text);
  }

  #rest({ properties, republished }: Publishing): string {
    const { expiration, timestamp } = properties;
    let text = property("correlation_id", properties.correlationId) +
      property("reply_to", properties.replyTo) +
      property("message_id", properties.messageId) +
      property("type", properties.type) +
      property("user_id", properties.userId) +
      property("app_id", properties.appId);
    if (expiration !== undefined) {
      text += property("expiration", `${expiration}`);
    }
    if (timestamp !== undefined) {
      const seconds = Math.floor(timestamp.getTime() / 1000);
      if (!Number.isNaN(seconds)) text += `"timestamp": ${seconds}, `;
      // A retry leaves out an invalid timestamp that another program wrote.
      else if (!republished) {
        throw new EncodeError(
          "Cannot write an envelope: its timestamp is an invalid Date",
        );
      }
    }
    return text;
  }
}

/**
 * Reads an envelope of Kombu's, of any age, or of ours.
 *
 * @param text The envelope.
 * @returns The message.
 * @throws {DecodeError} If it is none, and why not.
 *
 * @example One of Kombu's
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readEnvelope } from "@dashi/mq/store";
 *
 * const { message } = readEnvelope(
 *   '{"body": "e30=", "headers": {}, "content-type": "application/json", "properties": {"body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "orders"}}}',
 * );
 * assertEquals(message.routingKey, "orders");
 * assertEquals(new TextDecoder().decode(message.body), "{}");
 * ```
 */
export function readEnvelope(text: string): Envelope {
  const { body, rest } = cutBody(text);
  const envelope = table(parseJson(rest), "the envelope");
  const properties = table(envelope.properties ?? {}, "properties");
  const info = table(properties.delivery_info ?? {}, "delivery_info");
  const headers = readHeaders(envelope.headers);
  return {
    message: {
      exchange: string(info.exchange) ?? "",
      routingKey: string(info.routing_key) ?? "",
      mandatory: false,
      delay: 0,
      properties: {
        contentType: string(envelope["content-type"]),
        contentEncoding: string(envelope["content-encoding"]),
        headers,
        deliveryMode: properties.delivery_mode === 1
          ? "transient"
          : "persistent",
        // Kombu 3 had it elsewhere.
        priority: number(properties.priority ?? info.priority),
        correlationId: string(properties.correlation_id),
        replyTo: string(properties.reply_to),
        expiration: number(properties.expiration),
        messageId: string(properties.message_id),
        timestamp: date(properties.timestamp),
        type: string(properties.type),
        userId: string(properties.user_id),
        appId: string(properties.app_id),
      },
      body: readBody(body ?? envelope.body, properties.body_encoding),
    },
    deliveryTag: string(properties.delivery_tag),
    redelivered: envelope.redelivered === true ||
      headers.redelivered === true || info.redelivered === true,
  };
}

/**
 * Takes the body out where it comes first, as Kombu and we write it: the parser then
 * has a fraction to read. Not where something in it is escaped.
 */
function cutBody(
  text: string,
): { readonly body: string | undefined; readonly rest: string } {
  const start = ENVELOPE_HEAD.length;
  const end = text.startsWith(ENVELOPE_HEAD) ? text.indexOf('"', start) : -1;
  // Forwards: to look backwards takes twenty times as long.
  const escape = text.indexOf("\\", start);
  if (
    end < 0 || !text.startsWith(", ", end + 1) || escape >= 0 && escape < end
  ) return { body: undefined, rest: text };
  return { body: text.slice(start, end), rest: `{${text.slice(end + 2)}` };
}

type Json = Readonly<Record<string, unknown>>;

function table(value: unknown, what: string): Json {
  if (isTable(value)) return value;
  throw new DecodeError(
    `Cannot read an envelope: ${what} is ${
      Array.isArray(value) ? "a list" : `a ${typeof value}`
    } and no object`,
  );
}

function isTable(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readBody(body: unknown, encoding: unknown): Uint8Array {
  if (typeof body !== "string") {
    throw new DecodeError(
      `Cannot read an envelope: its body is a ${typeof body} and no string`,
    );
  }
  return encoding === "base64"
    ? decodeBase64(body)
    : new TextEncoder().encode(body);
}

/** Reads headers that were JSON: a typed value that has no type of AMQP's is its text. */
export function readHeaders(value: unknown): FieldTable {
  if (value === undefined || value === null) return {};
  const headers = table(value, "headers");
  // As they come, where none needs another type: most have words and numbers alone.
  if (isPlain(headers)) return headers;
  return Object.fromEntries(
    Object.entries(headers).map(([name, each]) => [name, field(each)]),
  );
}

function isPlain(headers: Json): headers is FieldTable {
  for (const name in headers) {
    const value = headers[name];
    if (typeof value === "object" && value !== null) return false;
  }
  return true;
}

function property(name: string, value: string | undefined): string {
  return value === undefined ? "" : `"${name}": ${quoteName(value)}, `;
}

/** As JSON: names as most are, UUIDs and the like, need no look at each character. */
function quoteName(text: string): string {
  return /^[\w.:-]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}

function isAscii(text: string): boolean {
  // deno-lint-ignore no-control-regex -- the first of ASCII is a control character
  return !/[^\x00-\x7f]/.test(text);
}

/** A typed JSON value that has no AMQP type is read as its text. */
function field(value: unknown): FieldValue {
  switch (typeof value) {
    case "string":
    case "number":
    case "bigint":
    case "boolean":
      return value;
    case "object":
      if (value === null || value instanceof Date) return value;
      if (value instanceof Uint8Array) return value;
      if (Array.isArray(value)) return value.map(field);
      if (Object.getPrototypeOf(value) !== Object.prototype) {
        return String(value);
      }
      return Object.fromEntries(
        Object.entries(value).map(([name, each]) => [name, field(each)]),
      );
  }
  return null;
}

function string(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  // As keys and names Kombu takes numbers too.
  return typeof value === "number" ? String(value) : undefined;
}

function number(value: unknown): number | undefined {
  const found = typeof value === "string" && value !== ""
    ? Number(value)
    : value;
  return typeof found === "number" && Number.isFinite(found)
    ? found
    : undefined;
}

function date(value: unknown): Date | undefined {
  if (value instanceof Date) return value;
  return typeof value === "number" ? new Date(value * 1000) : undefined;
}
