import { DecodeError, EncodeError } from "../model/errors.ts";
import { printable, quote } from "../model/foreign_text.ts";
import type { Codec } from "./codec.ts";

const ENCODER = new TextEncoder();
/** Strict: bytes that are no UTF-8 are an error, not a replacement character. */
const UTF8 = new TextDecoder("utf-8", { fatal: true });
/** A mark of byte order is a character of a plain text; before JSON and YAML it is none. */
const PLAIN = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Plain text. */
export const TEXT_CODEC: Codec = {
  name: "text",
  contentType: "text/plain",
  contentEncoding: "utf-8",
  encode(payload) {
    if (typeof payload !== "string") {
      throw new EncodeError(
        `Cannot encode a payload of type ${typeof payload} as text/plain: it must be a string`,
      );
    }
    if (!payload.isWellFormed()) {
      throw new EncodeError(
        "Cannot encode a payload as text/plain: it has half a surrogate pair, which UTF-8 has no form for",
      );
    }
    return encodeText(payload);
  },
  decode: (body, charset) => decodeText(body, charset, PLAIN),
};

/**
 * Writes a text in UTF-8.
 *
 * @param text The text.
 * @returns Its bytes.
 */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return ENCODER.encode(text);
}

/**
 * Reads a text.
 *
 * @param body Its bytes.
 * @param charset Its character set, by any name that the platform knows.
 * @param utf8 Reads UTF-8; without it a mark of byte order at the beginning is left out.
 * @returns The text.
 * @throws {DecodeError} If the character set is unknown, or the bytes are not of it.
 */
export function decodeText(
  body: Uint8Array,
  charset: string,
  utf8: TextDecoder = UTF8,
): string {
  const label = charset.toLowerCase();
  let decoder = utf8;
  if (label !== "utf-8" && label !== "utf8") {
    try {
      decoder = new TextDecoder(label, { fatal: true });
    } catch (cause) {
      throw new DecodeError(
        `Cannot decode a body of content encoding ${
          quote(charset)
        }: no such character set is known`,
        { cause },
      );
    }
  }
  try {
    return decoder.decode(body);
  } catch (cause) {
    throw new DecodeError(
      `Cannot decode a body of ${body.byteLength} bytes as ${
        printable(charset)
      }: it is not`,
      { cause },
    );
  }
}
