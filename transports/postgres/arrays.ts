import type { Value } from "../sql/port.ts";

/** PostgreSQL's types of what an array has. */
const [BYTEA, BIGINT, TEXT] = [17, 20, 25];

const ENCODER = new TextEncoder();

/** Bytes of an array before its elements, and before each of those. */
const [HEAD, LENGTH] = [20, 4];

/** Writes `bytea[]` as the server reads it: as text each byte would be two letters. */
export function bytesArray(values: readonly Uint8Array[]): Uint8Array {
  return written(BYTEA, values, false);
}

/** Writes `text[]`. */
export function textArray(values: readonly (string | null)[]): Uint8Array {
  const texts = values.map((each) => withoutNul(each ?? ""));
  const whole = texts.join("");
  // Encoded together: a call for each costs many times what its letters do.
  const all = ENCODER.encode(whole);
  const isAscii = all.length === whole.length;
  let at = 0;
  const bytes = texts.map((text, i) => {
    if (values[i] === null) return null;
    return isAscii ? all.subarray(at, at += text.length) : ENCODER.encode(text);
  });
  return written(TEXT, bytes, values.includes(null));
}

/** Writes `bigint[]`. */
export function numberArray(values: readonly (number | null)[]): Uint8Array {
  const bytes = begun(BIGINT, values.length, values.includes(null), 8);
  const view = new DataView(bytes.buffer);
  let at = HEAD;
  for (const value of values) {
    view.setInt32(at, value === null ? -1 : 8);
    at += LENGTH;
    if (value === null) continue;
    view.setInt32(at, Math.floor(value / 2 ** 32));
    view.setUint32(at + 4, value);
    at += 8;
  }
  return bytes.subarray(0, at);
}

/** Reads `bigint[]` of what the server wrote as text: one of none is null. */
export function readNumbers(array: Value | undefined): readonly number[] {
  return typeof array === "string"
    ? array.slice(1, -1).split(",").map(Number)
    : [];
}

/** A text of PostgreSQL's has no NUL: in names and keys another one stands for it. */
export function withoutNul(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\\0") : text;
}

function written(
  type: number,
  values: readonly (Uint8Array | null)[],
  hasNull: boolean,
): Uint8Array {
  const total = values.reduce((sum, each) => sum + (each?.length ?? 0), 0);
  const bytes = begun(type, values.length, hasNull, 0, total);
  const view = new DataView(bytes.buffer);
  let at = HEAD;
  for (const value of values) {
    view.setInt32(at, value?.length ?? -1);
    at += LENGTH;
    if (value === null) continue;
    bytes.set(value, at);
    at += value.length;
  }
  return bytes;
}

/** One dimension, whether there are nulls, the type, and how many there are, the first of which is 1. */
function begun(
  type: number,
  count: number,
  hasNull: boolean,
  each: number,
  total = 0,
): Uint8Array<ArrayBuffer> {
  const size = HEAD + count * (LENGTH + each) + total;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const head = [1, hasNull ? 1 : 0, type, count, 1];
  for (const [i, value] of head.entries()) view.setInt32(4 * i, value);
  return bytes;
}
