/** How a message is written: the body as it is, all else in a header of NATS. */

import { asError } from "../../model/error_text.ts";
import type { Publishing } from "../../model/message.ts";
import {
  ENVELOPE_HEAD,
  type EnvelopeWriter,
  readEnvelope,
} from "../store/envelope.ts";
import type { Malformed } from "../store/store.ts";
import type { NatsMessage } from "./answers.ts";
import { cutSize } from "./headers.ts";

/** The header that has all that AMQP knows of a message: JSON. */
const ENVELOPE = "Dashi-Message";

/** Where that is too long for a header: how many bytes of it the body begins with. */
const LENGTH = "Dashi-Message-Length";

/** Milliseconds that the message lives. */
const TTL = "Dashi-TTL";

/** JetStream takes no more bytes of headers than 64 KiB. */
const MAX_HEADER = 60_000;

/** Room for headers in the server's limit of a message, bytes. */
export const HEADER_ROOM = 4096;

const [UTF8, TEXT] = [new TextEncoder(), new TextDecoder()];

/** A message as it is published: lines of headers, and the body. */
export interface Written {
  readonly head: string;
  readonly body: Uint8Array;
}

/**
 * Writes a message.
 *
 * @throws {EncodeError} If a header cannot be written as JSON.
 */
export function writeMessage(
  writer: EnvelopeWriter,
  message: Publishing,
): Written {
  const tail = writer.writeTail(message, "");
  const envelope = `{${tail.slice(3)}`;
  if (envelope.length < MAX_HEADER / 3) {
    return { head: `${ENVELOPE}: ${envelope}\r\n`, body: message.body };
  }
  const bytes = UTF8.encode(envelope);
  if (bytes.byteLength <= MAX_HEADER) {
    return { head: `${ENVELOPE}: ${envelope}\r\n`, body: message.body };
  }
  const body = new Uint8Array(bytes.byteLength + message.body.byteLength);
  body.set(bytes);
  body.set(message.body, bytes.byteLength);
  return { head: `${LENGTH}: ${bytes.byteLength}\r\n`, body };
}

/** The header that says how long a message lives. */
export function ttlHead(ttl: number | undefined): string {
  return ttl === undefined ? "" : `${TTL}: ${Math.ceil(ttl)}\r\n`;
}

/** Milliseconds that a message lives, by its header. */
export function ttlOf({ headers }: NatsMessage): number | undefined {
  const text = headers?.get(TTL) ?? "";
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Milliseconds until a message expires: `now` is known within some, and nothing is younger than new. */
export function timeLeftOf(
  message: NatsMessage,
  putAt: number,
  now: number,
): number | undefined {
  const ttl = ttlOf(message);
  return ttl === undefined ? undefined : Math.min(ttl, putAt + ttl - now);
}

/** The headers of a message that came, but those of the server. */
export function headOf({ headers }: NatsMessage): string {
  let head = "";
  for (const name of headers?.keys() ?? []) {
    if (/^nats-/i.test(name)) continue;
    for (const value of headers?.values(name) ?? []) {
      head += `${name}: ${value}\r\n`;
    }
  }
  return head;
}

/** A message that came without its body. */
export class CutError extends Error {
  static {
    this.prototype.name = "CutError";
  }

  /** Makes one of a message of so many bytes. */
  constructor(size: number) {
    super(
      `its ${size} bytes are more than the option maxResponseSize allows: it stays in its queue, and is handed out again in an hour`,
    );
  }
}

/** Reads a message, of ours or of any client of NATS. */
export function readMessage(
  queue: string,
  received: NatsMessage,
): Publishing | Malformed {
  const { headers } = received;
  const data = plain(received.data);
  const size = cutSize(received);
  if (size > 0) return { error: new CutError(size), body: data };
  let envelope = headers?.get(ENVELOPE) ?? "";
  let body = data;
  const length = Number(headers?.get(LENGTH) || 0);
  if (length > 0) {
    envelope = TEXT.decode(data.subarray(0, length));
    body = data.subarray(length);
  }
  if (envelope === "") return foreignMessage(queue, received);
  try {
    const { message } = readEnvelope(
      `${ENVELOPE_HEAD}", ${envelope.slice(1)}`,
    );
    return { ...message, body };
  } catch (error) {
    return { error: asError(error), body: data };
  }
}

/** A body is a `Uint8Array`, and no class of a runtime's own. */
function plain({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** A message that `nats pub` or another program has put: its headers are the message's. */
function foreignMessage(
  queue: string,
  { headers, data }: NatsMessage,
): Publishing {
  const body = plain(data);
  const own: Record<string, string> = {};
  for (const name of headers?.keys() ?? []) {
    if (!/^(nats-|dashi-|content-(type|encoding)$)/i.test(name)) {
      own[name] = headers?.values(name).join(", ") ?? "";
    }
  }
  return {
    exchange: "",
    routingKey: queue,
    mandatory: false,
    delay: 0,
    properties: {
      contentType: headers?.get("Content-Type") || undefined,
      contentEncoding: headers?.get("Content-Encoding") || undefined,
      messageId: headers?.get("Nats-Msg-Id") || undefined,
      headers: own,
      deliveryMode: "persistent",
    },
    body,
  };
}
