/** The keys and values of the bucket. */

import { DecodeError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";

const TEXT = new TextDecoder();

/** Writes a text of ASCII as a key of one token: of its characters the tools take letters, digits, `-`, `_`, `/` and `=`. */
export function keyOf(id: string): string {
  return id.replace(
    /[^\w/-]/g,
    (char) => `=${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** Reads the text of a key. */
export function idOf(key: string): string {
  return key.replace(
    /=([0-9a-f]{2})/g,
    (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/**
 * Reads a value: any client of NATS may have put one.
 *
 * @throws {DecodeError} If it is not of this library.
 */
export function readValue(
  key: string,
  bytes: Uint8Array,
): Readonly<Record<string, unknown>> {
  let cause: unknown;
  try {
    const value: unknown = JSON.parse(TEXT.decode(bytes));
    if (typeof value === "object" && value !== null) {
      return value as Readonly<Record<string, unknown>>;
    }
  } catch (error) {
    cause = error;
  }
  throw new DecodeError(
    `Cannot read the key ${
      quote(key)
    } of the bucket: its value is not of this library; remove it, or name another prefix`,
    { cause },
  );
}
