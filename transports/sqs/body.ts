import { parseLooseJson } from "../../codec/loose_json.ts";
import { decodeBase64, encodeBase64 } from "../../codec/mod.ts";
import { DecodeError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { readEnvelope } from "../store/envelope.ts";
import type { Malformed } from "../store/store.ts";

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Every envelope has them, of all of Kombu's versions: who sent it, and under which name. */
const MARKS = ['"body"', '"properties"', '"delivery_info"', '"delivery_tag"'];

/**
 * Makes the body to send of an envelope.
 *
 * @param envelope The envelope.
 * @param base64 Whether as base64, Kombu's default, or as it is.
 * @returns ASCII.
 */
export function encodeBody(envelope: string, base64: boolean): string {
  if (base64) return encodeBase64(ENCODER.encode(envelope));
  // SQS takes no control characters and no lone surrogates: JSON can do without.
  return envelope.replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Reads a body that was received: an envelope of Kombu's or ours, in base64 or plain. All else
 * is another program's, and the body of a message that says nothing else, as it was
 * written: JSON with `properties` of its own, and words that happen to be base64.
 *
 * @param text The text.
 * @param queue The queue that it came from.
 * @returns The message, or why it is none; and whether it was put back before.
 */
export function decodeBody(
  text: string,
  queue: string,
): { readonly message: Publishing | Malformed; readonly redelivered: boolean } {
  const envelope = text.startsWith("{") ? text : fromBase64(text);
  if (
    envelope !== undefined && MARKS.every((mark) => envelope.includes(mark))
  ) {
    try {
      const { message, redelivered, deliveryTag } = readEnvelope(envelope);
      if (deliveryTag !== undefined) return { message, redelivered };
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (isEnvelope(envelope)) {
        const body = ENCODER.encode(envelope);
        return { message: { error, body }, redelivered: false };
      }
    }
  }
  const message: Publishing = {
    exchange: "",
    routingKey: queue,
    mandatory: false,
    delay: 0,
    properties: {},
    body: ENCODER.encode(text),
  };
  return { message, redelivered: false };
}

/** Says of what cannot be read, as a header of a type that we do not know, whether it was to be an envelope. */
function isEnvelope(text: string): boolean {
  try {
    const value = parseLooseJson(text);
    return isTable(value) && "body" in value && isTable(value.properties) &&
      "delivery_tag" in value.properties;
  } catch {
    return false;
  }
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Text that only looks like base64, or holds no text, is not taken for base64. */
function fromBase64(text: string): string | undefined {
  if (text.length % 4 !== 0) return undefined;
  try {
    const bytes = decodeBase64(text);
    // White space in it, or bits in its last character that no byte has: not ours.
    const end = encodeBase64(bytes.subarray(bytes.length - lastGroup(bytes)));
    const length = Math.ceil(bytes.length / 3) * 4;
    return text.length === length && text.endsWith(end)
      ? DECODER.decode(bytes)
      : undefined;
  } catch {
    return undefined;
  }
}

function lastGroup(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : ((bytes.length - 1) % 3) + 1;
}
