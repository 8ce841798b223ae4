import type { FieldTable } from "../model/field_table.ts";

/** The header that carries the key of a message: those of one key are handed out in order. */
export const KEY_HEADER = "x-key";

/** The most bytes of a key, in UTF-8. */
export const MAX_KEY = 128;

const ENCODER = new TextEncoder();

/**
 * Says whether a value is a key: a string of 1 to 128 bytes in UTF-8.
 *
 * @param value The value.
 * @returns Whether it is one.
 *
 * @example A key, and none
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { isKey } from "@dashi/mq/virtual";
 *
 * assertEquals(isKey("user-7"), true);
 * assertEquals(isKey(""), false);
 * ```
 */
export function isKey(value: unknown): value is string {
  if (typeof value !== "string") return false;
  const { length } = value; // a unit of UTF-16 is three bytes at most
  if (length === 0 || length > MAX_KEY || !value.isWellFormed()) return false;
  return length * 3 <= MAX_KEY || ENCODER.encode(value).length <= MAX_KEY;
}

/**
 * Reads the key of a message.
 *
 * @param headers Its headers.
 * @returns The key; `undefined` if it has none, or what stands there is not one.
 *
 * @example The header that has it
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { keyOf } from "@dashi/mq/virtual";
 *
 * assertEquals(keyOf({ "x-key": "user-7" }), "user-7");
 * assertEquals(keyOf(undefined), undefined);
 * ```
 */
export function keyOf(headers: FieldTable | undefined): string | undefined {
  const value = headers?.[KEY_HEADER];
  return isKey(value) ? value : undefined;
}
