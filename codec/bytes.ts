import { EncodeError } from "../model/errors.ts";
import type { Codec } from "./codec.ts";
import { bytesIn } from "./payload.ts";
import { decodeText, encodeText } from "./text.ts";

/** Bytes as they are; with a character set, a text. Kombu's `raw`. */
export const BYTES_CODEC: Codec = {
  name: "bytes",
  contentType: "application/data",
  contentEncoding: "binary",
  encode(payload) {
    const bytes = bytesIn(payload);
    if (bytes !== undefined) return bytes;
    if (typeof payload === "string") return encodeText(payload);
    throw new EncodeError(
      `Cannot encode a payload of type ${typeof payload} as application/data: it must be bytes or a string`,
    );
  },
  decode(body, contentEncoding) {
    return isBinary(contentEncoding) ? body : decodeText(body, contentEncoding);
  },
};

/**
 * Says whether a content encoding means bytes, and no text.
 *
 * @param contentEncoding The content encoding.
 * @returns Whether it does.
 */
export function isBinary(contentEncoding: string): boolean {
  const name = contentEncoding.toLowerCase();
  return name === "binary" || name === "ascii-8bit";
}
