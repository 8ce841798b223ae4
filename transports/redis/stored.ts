/** Messages as they lie in lists, and in the hash of unacked messages: Kombu's envelopes as text. */

import { parseJson } from "../../codec/mod.ts";
import { DecodeError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { readEnvelope } from "../store/envelope.ts";
import type { Malformed } from "../store/store.ts";
import { endOfValue, membersAt, skipSpace } from "./json_text.ts";

/** A message that was read from a list. */
export interface Stored {
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  /** How often we gave it back; Kombu does not count. */
  readonly deliveryCount: number | undefined;
  /** When its time to live ends, on the server's clock. */
  readonly expiresAt: number;
}

const DELIVERY_INFO = '"delivery_info": {';
const REDELIVERED = '"redelivered": true';

/**
 * The name of an envelope, at its end, as Kombu and we write it. It may be any text: behind
 * a UUID ours says what Kombu's layout has no place for, as in `;expires=1700000000000`.
 */
const TAG = '"delivery_tag": "';
const END = '"}}';

/** An envelope as Kombu and we write it, as far as the first header. */
const HEAD =
  /^\{"body": "[^"\\]*", "content-encoding": (?:"[^"\\]*"|null), "content-type": (?:"[^"\\]*"|null), "headers": \{/;

/**
 * Notes in an envelope when it expires.
 *
 * @param at The moment, on the server's clock, ms.
 */
export function withExpiry(text: string, at: number): string {
  return `${text.slice(0, -END.length)};expires=${Math.floor(at)}${END}`;
}

/**
 * Notes in what somebody else wrote when it expires.
 *
 * @param at The moment, on the server's clock, ms.
 * @returns The envelope with it, or `undefined` if its name does not stand where notes do.
 */
export function expiringBy(bytes: Uint8Array, at: number): string | undefined {
  const text = LENIENT.decode(bytes);
  const notes = readNotes(text);
  if (notes === undefined) return undefined;
  const place = text.lastIndexOf(TAG) + TAG.length;
  return withExpiry(text.slice(0, place) + notes.name + END, at);
}

/** Says whether an envelope has a name by which it is told from one that looks alike. */
export function isNamed(bytes: Uint8Array): boolean {
  return LENIENT.decode(bytes).includes('"delivery_tag"');
}

/** A note, at the end of a copy for listeners, that the message is in our queues already. */
const PUT = ";put=1" + END;

/**
 * Notes in an envelope that our queues have it already: for those of 0.1.0, which know no
 * such note, its time is over.
 */
export function withPutNote(text: string): string {
  return `${text.slice(0, -END.length)};expires=1${PUT}`;
}

/** Says whether an envelope has the note of {@linkcode withPutNote}. */
export function hasPutNote(bytes: Uint8Array): boolean {
  const start = bytes.length - PUT.length;
  for (let i = 0; i < PUT.length; i++) {
    if (bytes[start + i] !== PUT.charCodeAt(i)) return false;
  }
  return true;
}

/** The notes in an envelope's name, beside the name. */
interface Notes {
  /** The name itself. */
  readonly name: string;
  /** When it expires, on the server's clock, ms. */
  readonly expires: number;
  /** How often we gave it back. */
  readonly count: number | undefined;
}

/** Reads an envelope's name, if it stands at the end. */
function readNotes(text: string): Notes | undefined {
  const place = text.lastIndexOf(TAG);
  if (place < 0 || !text.endsWith(END)) return undefined;
  const tag = text.slice(place + TAG.length, -END.length);
  if (tag.includes('"')) return undefined;
  if (!tag.includes(";")) {
    return { name: tag, expires: Infinity, count: undefined };
  }
  const [name = "", ...notes] = tag.split(";");
  const value = (key: string) => {
    const note = notes.find((each) => each.startsWith(`${key}=`));
    return note === undefined ? undefined : Number(note.slice(key.length + 1));
  };
  return { name, expires: value("expires") ?? Infinity, count: value("count") };
}

/** Reads an entry of a list. */
export function readStored(bytes: Uint8Array): Stored {
  let text: string;
  try {
    text = decodeText(bytes);
    const { message, redelivered } = readEnvelope(text);
    const notes = readNotes(text);
    return {
      message: redelivered ? withoutMark(message) : message,
      redelivered,
      deliveryCount: redelivered ? notes?.count : 0,
      expiresAt: notes?.expires ?? Infinity,
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

/** Strictly, at the price of leniently: only where something was replaced it is looked at again. */
function decodeText(bytes: Uint8Array): string {
  const text = LENIENT.decode(bytes);
  return text.includes("\uFFFD") ? STRICT.decode(bytes) : text;
}

const LENIENT = new TextDecoder();
const STRICT = new TextDecoder("utf-8", { fatal: true });

/** A header that only Kombu's consumers look at is not the application's. */
function withoutMark(message: Publishing): Publishing {
  const { redelivered: _, ...headers } = message.properties.headers ?? {};
  return { ...message, properties: { ...message.properties, headers } };
}

/**
 * Marks an envelope as delivered before, where Kombu's consumers look, and counts. As text:
 * parsed and written again, numbers of Python's would not be what they were, and what can
 * be read but not written would keep its message from going back.
 *
 * @param field The field under which it was taken: its place among others that are given back.
 */
export function markRedelivered(text: string, field: string): string {
  const marked = markText(text) ?? markMembers(text);
  const notes = readNotes(marked);
  if (notes === undefined) return marked;
  const { name, expires, count = 0 } = notes;
  const expiry = expires === Infinity ? "" : `;expires=${expires}`;
  const place = marked.lastIndexOf(TAG) + TAG.length;
  return `${marked.slice(0, place)}${name}${expiry};count=${
    count + 1
  };taken=${field}${END}`;
}

/**
 * Makes the text to put back of an entry of a list: marked, or, where we cannot read it,
 * the same bytes.
 */
export function marked(
  bytes: Uint8Array | string,
  message: Publishing | Malformed,
  field: string,
): string | Uint8Array {
  if ("error" in message) return bytes;
  const text = typeof bytes === "string" ? bytes : LENIENT.decode(bytes);
  return markRedelivered(text, field);
}

function markText(text: string): string | undefined {
  const head = HEAD.exec(text)?.[0].length;
  const place = text.lastIndexOf(DELIVERY_INFO);
  if (head === undefined || place < head) return undefined;
  const info = place + DELIVERY_INFO.length;
  return text.slice(0, head) + markAt(text, head) + text.slice(head, info) +
    markAt(text, info) + text.slice(info);
}

/** Returns the text to insert at the beginning of an object. */
function markAt(text: string, place: number): string {
  if (text.startsWith(REDELIVERED, place)) return "";
  return text[place] === "}" ? REDELIVERED : `${REDELIVERED}, `;
}

/** Of an envelope of any other shape. */
function markMembers(text: string): string {
  const at = skipSpace(text, 0);
  const properties = membersAt(text, at)?.get("properties");
  const inner = properties && membersAt(text, properties.start);
  const withInfo = properties === undefined
    ? setMember(text, at, "properties", `{"delivery_info": {${REDELIVERED}}}`)
    : inner?.get("delivery_info") === undefined
    ? setMember(text, properties.start, "delivery_info", `{${REDELIVERED}}`)
    : markObject(text, inner.get("delivery_info")?.start ?? 0);
  const headers = membersAt(withInfo, at)?.get("headers");
  return headers === undefined || withInfo[headers.start] !== "{"
    ? setMember(withInfo, at, "headers", `{${REDELIVERED}}`)
    : markObject(withInfo, headers.start);
}

function markObject(text: string, at: number): string {
  return setMember(text, at, "redelivered", "true");
}

/** Writes a member of the object that begins at a place; nothing where none does. */
function setMember(
  text: string,
  at: number,
  key: string,
  value: string,
): string {
  const members = membersAt(text, at);
  if (members === undefined) return text;
  const place = members.get(key);
  if (place !== undefined) {
    return text.slice(0, place.start) + value + text.slice(place.end);
  }
  const comma = members.size === 0 ? "" : ", ";
  return `${text.slice(0, at + 1)}"${key}": ${value}${comma}${
    text.slice(at + 1)
  }`;
}

/** An entry of the hash of unacked messages. */
export interface Unacked {
  /** The envelope, byte for byte. */
  readonly bytes: Uint8Array;
  readonly exchange: string;
  readonly routingKey: string;
  readonly priority: number | undefined;
}

/** A character for each byte: the text's places are those of the bytes. */
const BYTEWISE = new TextDecoder("latin1");

/**
 * Reads a value of the hash of unacked messages: a list of the envelope, an exchange and
 * a key. Ours name the default exchange and the queue.
 *
 * @throws {DecodeError} If it is no such list.
 */
export function readUnacked(value: Uint8Array): Unacked {
  const text = BYTEWISE.decode(value);
  const list = skipSpace(text, 0);
  const start = skipSpace(text, list + 1);
  const end = endOfValue(text, start);
  const comma = skipSpace(text, end);
  const isList = text[list] === "[" && text[start] === "{" &&
    text[comma] === ",";
  const rest = isList
    ? parseJson(`[${LENIENT.decode(value.subarray(comma + 1))}`)
    : undefined;
  if (!Array.isArray(rest)) {
    throw new DecodeError(
      "Cannot read an unacked message: it is no list of an envelope, an exchange and a routing key",
    );
  }
  const [exchange, routingKey] = rest;
  return {
    bytes: value.slice(start, end),
    exchange: typeof exchange === "string" ? exchange : "",
    routingKey: typeof routingKey === "string" ? routingKey : "",
    priority: priorityIn(text, start),
  };
}

function priorityIn(text: string, start: number): number {
  const properties = membersAt(text, start)?.get("properties");
  const place = properties &&
    membersAt(text, properties.start)?.get("priority");
  return Number(text.slice(place?.start, place?.end ?? 0)) || 0;
}
