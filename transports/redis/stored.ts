/** Messages as they lie in lists, and in the hash of what is unacked: Kombu's envelopes as text. */

import { parseJson, stringifyJson } from "../../codec/mod.ts";
import { DecodeError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { readEnvelope } from "../store/envelope.ts";
import type { Malformed } from "../store/store.ts";

/** A message that was read from a list. */
export interface Stored {
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  /** How often we gave it back; Kombu does not count. */
  readonly deliveryCount: number | undefined;
  /** When its time to live ends, on the server's clock. */
  readonly expiresAt: number;
}

const PROPERTIES = '"properties": {';
const DELIVERY_INFO = '"delivery_info": {';
const REDELIVERED = '"redelivered": true, ';
const EXPIRES = `${PROPERTIES}"dashi_expires_at": `;
const COUNT = '"dashi_delivery_count": ';
/** How often it was given back, and under which field it was taken then. */
const TAKEN = /"dashi_delivery_count": (\d+), "dashi_taken": "[^"]*"/;

/** An envelope as Kombu and we write it, as far as the first header. */
const HEAD =
  /^\{"body": "[^"\\]*", "content-encoding": (?:"[^"\\]*"|null), "content-type": (?:"[^"\\]*"|null), "headers": \{/;

/**
 * Notes in an envelope when it expires.
 *
 * @param text An envelope that we wrote.
 * @param at The moment, on the server's clock, ms.
 * @returns The envelope with it.
 */
export function withExpiry(text: string, at: number): string {
  const place = text.lastIndexOf(PROPERTIES);
  return `${text.slice(0, place)}${EXPIRES}${Math.ceil(at)}, ${
    text.slice(place + PROPERTIES.length)
  }`;
}

/**
 * Reads what lay in a list.
 *
 * @param bytes The bytes.
 * @returns The message, or why it is none.
 */
export function readStored(bytes: Uint8Array): Stored {
  let text: string;
  try {
    text = TEXT.decode(bytes);
    const { message, redelivered } = readEnvelope(text);
    return {
      message: redelivered ? withoutMark(message) : message,
      redelivered,
      deliveryCount: countOf(text, redelivered),
      expiresAt: expiryOf(text),
    };
  } catch (cause) {
    const error = cause instanceof DecodeError ? cause : new DecodeError(
      "Cannot read an envelope: it is no UTF-8",
      { cause },
    );
    return {
      message: { error, body: bytes },
      redelivered: false,
      deliveryCount: undefined,
      expiresAt: Infinity,
    };
  }
}

const TEXT = new TextDecoder("utf-8", { fatal: true });

/** What Kombu's consumers look at is no header of the application's. */
function withoutMark(message: Publishing): Publishing {
  const { redelivered: _, ...headers } = message.properties.headers ?? {};
  return { ...message, properties: { ...message.properties, headers } };
}

function expiryOf(text: string): number {
  const place = text.lastIndexOf(EXPIRES);
  return place < 0 ? Infinity : parseInt(text.slice(place + EXPIRES.length));
}

function countOf(text: string, redelivered: boolean): number | undefined {
  if (!redelivered) return 0;
  const place = text.lastIndexOf(COUNT);
  return place < 0 ? undefined : parseInt(text.slice(place + COUNT.length));
}

/**
 * Marks an envelope as delivered before, where Kombu's consumers look, and counts.
 * What others wrote is changed as text: parsed and written again, numbers of Python's
 * would not be what they were.
 *
 * @param text The envelope.
 * @param field The field under which it was taken: its place among others that are given back.
 * @returns The marked envelope.
 */
export function markRedelivered(text: string, field: string): string {
  const head = HEAD.exec(text)?.[0].length;
  const place = text.lastIndexOf(DELIVERY_INFO);
  if (head === undefined || place < head) return markParsed(text);
  const counted = text.lastIndexOf(COUNT, place);
  if (counted > head) {
    const rest = text.slice(counted).replace(
      TAKEN,
      (_, count: string) => takenText(Number(count) + 1, field),
    );
    return text.slice(0, counted) + rest;
  }
  if (text.includes(REDELIVERED.slice(0, -2), head)) return text; // Kombu gave it back before
  const comma = text[head] === "}" ? '"redelivered": true' : REDELIVERED;
  const after = place + DELIVERY_INFO.length;
  const second = text[after] === "}" ? '"redelivered": true' : REDELIVERED;
  return `${text.slice(0, head)}${comma}${text.slice(head, place)}${
    takenText(1, field)
  }, ${DELIVERY_INFO}${second}${text.slice(after)}`;
}

function takenText(count: number, field: string): string {
  return `${COUNT}${count}, "dashi_taken": ${JSON.stringify(field)}`;
}

function markParsed(text: string): string {
  const envelope = parseJson(text);
  if (!isObject(envelope)) return text;
  const { headers, properties } = envelope;
  const info = isObject(properties) ? properties.delivery_info : undefined;
  return stringifyJson({
    ...envelope,
    headers: { ...(isObject(headers) ? headers : {}), redelivered: true },
    properties: {
      ...(isObject(properties) ? properties : {}),
      delivery_info: { ...(isObject(info) ? info : {}), redelivered: true },
    },
  });
}

/** What lies in the hash of what is unacked. */
export interface Unacked {
  /** The envelope. */
  readonly text: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly priority: number | undefined;
}

/**
 * Reads a value of the hash of what is unacked: a list of the envelope, an exchange and
 * a key. Ours name the default exchange and the queue.
 *
 * @param value The value.
 * @returns What it says.
 * @throws {DecodeError} If it is no such list.
 */
export function readUnacked(value: string): Unacked {
  const parsed = parseJson(value);
  if (!Array.isArray(parsed) || !isObject(parsed[0])) {
    throw new DecodeError(
      "Cannot read an unacked message: it is no list of an envelope, an exchange and a routing key",
    );
  }
  const [envelope, exchange, routingKey] = parsed;
  const properties = isObject(envelope.properties) ? envelope.properties : {};
  return {
    text: value.startsWith("[{")
      ? cutEnvelope(value, exchange, routingKey) ?? stringifyJson(envelope)
      : stringifyJson(envelope),
    exchange: typeof exchange === "string" ? exchange : "",
    routingKey: typeof routingKey === "string" ? routingKey : "",
    priority: Number(properties.priority) || 0,
  };
}

/** The envelope as it was written, byte for byte, if nothing but two strings in ASCII stands behind it. */
function cutEnvelope(
  value: string,
  exchange: unknown,
  routingKey: unknown,
): string | undefined {
  const tail = `, ${JSON.stringify(exchange)}, ${JSON.stringify(routingKey)}]`;
  // The server's JSON writes a slash with a backslash before it.
  const escaped = tail.replaceAll("/", "\\/");
  for (const each of [tail, escaped]) {
    if (value.endsWith(each)) return value.slice(1, -each.length);
  }
  return undefined;
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
