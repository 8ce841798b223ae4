import { DecodeError, EncodeError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { isBinary } from "./bytes.ts";
import type { Codec } from "./codec.ts";
import { parseLooseJson } from "./loose_json.ts";
import { decodeText, encodeText } from "./text.ts";
import {
  CIRCLE,
  isWithin,
  type Place,
  refused,
  UNDEFINED,
  whyRefused,
} from "./payload.ts";
import { TypedValue } from "./typed_value.ts";

/** JSON with Kombu's typed values. */
export const JSON_CODEC: Codec = {
  name: "json",
  contentType: "application/json",
  contentEncoding: "utf-8",
  encode: (payload) => encodeText(stringifyJson(payload)),
  decode(body, contentEncoding) {
    // Python writes JSON in ASCII, whatever the content encoding says.
    const charset = isBinary(contentEncoding) ? "utf-8" : contentEncoding;
    return parseJson(decodeText(body, charset));
  },
};

/**
 * Writes JSON. A value that JSON lacks becomes an object with the two keys `__type__` and
 * `__value__`, as Kombu does it: a `Date` is a `datetime`, a `Uint8Array` is `bytes` or
 * `base64`, a {@linkcode TypedValue} has its own type. A `bigint` is written with all its
 * digits.
 *
 * @param payload The payload to write.
 * @returns The text.
 * @throws {EncodeError} If it has what cannot be written; nothing is silently dropped but `undefined` in objects.
 */
export function stringifyJson(payload: unknown): string {
  return write(() => isPlain(payload) ? payload : convert(payload, undefined));
}

/**
 * Writes JSON as {@linkcode stringifyJson}, and what {@linkcode parseJson} reads beyond
 * JSON as Python does: `NaN`, `Infinity` and `-Infinity`. For what others have written.
 *
 * @param payload The payload to write.
 * @returns The text.
 * @throws {EncodeError} If it has what cannot be written.
 */
export function stringifyLooseJson(payload: unknown): string {
  const mark = crypto.randomUUID();
  const text = write(() => convert(payload, undefined, mark));
  return text.replaceAll(new RegExp(`"${mark}([^"]+)"`, "g"), "$1");
}

function write(payload: () => unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(payload());
  } catch (cause) {
    if (cause instanceof EncodeError) throw cause;
    if (cause instanceof RangeError) {
      throw unwritable(undefined, TOO_DEEP, cause);
    }
    const why = cause instanceof Error ? cause.message.split("\n")[0] : cause;
    throw new EncodeError(`Cannot encode a payload as JSON: ${why}`, { cause });
  }
  if (text === undefined) throw unwritable(undefined, UNDEFINED);
  return text;
}

/**
 * Reads JSON, Kombu's typed values in it, and what Python writes beyond JSON: `NaN`,
 * `Infinity`, and integers of any size, which are `bigint` beyond 2^53. A `datetime`
 * is a `Date`, without an offset read as UTC; `bytes` and `base64` are a `Uint8Array`;
 * other types are a {@linkcode TypedValue}.
 *
 * @param text The text.
 * @returns The payload.
 * @throws {DecodeError} If it is no JSON.
 */
export function parseJson(text: string): unknown {
  const value = parseLooseJson(text);
  // Without its quotes: there are many in JSON, and each would be looked at.
  if (!text.includes("__type__")) return value;
  try {
    return revive(value);
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause;
    throw new DecodeError(
      `Cannot decode a body of ${text.length} characters as JSON: its typed values are nested too deeply`,
      { cause },
    );
  }
}

/** A program's stack ends somewhere, where exactly nobody can say. */
const TOO_DEEP = "it is nested too deeply";

/** A depth that no ordinary JSON has; beyond it cycles are looked for. */
const PLAIN_DEPTH = 100;

/** A plain tree of JSON's own types needs no conversion; to look costs a fifth of writing it. */
function isPlain(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object":
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth > PLAIN_DEPTH) return false;
  if (Array.isArray(value)) {
    return value.every((each) => isPlain(each, depth + 1));
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  if ("__type__" in value) return false;
  for (const each of Object.values(value)) {
    if (each !== undefined && !isPlain(each, depth + 1)) return false;
  }
  return !("toJSON" in value);
}

/** Rewrites what JSON lacks; `mark` stands before numbers that JSON has no form for, where they are wanted. */
function convert(
  value: unknown,
  place: Place | undefined,
  mark?: string,
): unknown {
  switch (typeof value) {
    case "number":
      if (Number.isFinite(value)) return value;
      if (mark === undefined) throw unwritable(place, `it is ${value}`);
      return `${mark}${value}`;
    case "bigint":
      return rawNumber(value, place);
    case "function":
    case "symbol":
      throw unwritable(place, `it is a ${typeof value}`);
    case "object":
      if (value === null) return null;
      if (isWithin(value, place)) throw unwritable(place, CIRCLE);
      return convertObject(value, place, mark);
    default:
      return value;
  }
}

function convertObject(
  value: object,
  place: Place | undefined,
  mark: string | undefined,
): unknown {
  if (value instanceof Date) return typed("datetime", formatDate(value, place));
  if (value instanceof TypedValue) return typed(value.type, value.value);
  if (value instanceof Uint8Array) return typedBytes(value);
  const why = whyRefused(value);
  if (why !== undefined) throw unwritable(place, why);
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return convert(value.toJSON(), place, mark);
  }
  if (Array.isArray(value)) {
    return value.map((each, key) =>
      convert(each, { within: value, key, up: place }, mark)
    );
  }
  const entries = Object.entries(value);
  if (entries.length === 2 && "__type__" in value && "__value__" in value) {
    throw unwritable(
      place,
      'an object of the two keys "__type__" and "__value__" would be read as a typed value; use TypedValue',
    );
  }
  return Object.fromEntries(
    entries.map((
      [key, each],
    ) => [key, convert(each, { within: value, key, up: place }, mark)]),
  );
}

function typed(type: string, value: unknown): unknown {
  return { __type__: type, __value__: value };
}

function typedBytes(bytes: Uint8Array): unknown {
  try {
    return typed("bytes", decodeText(bytes, "utf-8"));
  } catch {
    return typed("base64", encodeBase64(bytes));
  }
}

/** As Python prints a moment in UTC: no fraction where it is zero, else six digits. */
function formatDate(date: Date, place: Place | undefined): string {
  if (Number.isNaN(date.getTime())) {
    throw unwritable(place, "it is an invalid Date");
  }
  return date.toISOString().replace(
    /(?:\.000|(\.\d{3}))Z$/,
    (_, fraction) =>
      (fraction === undefined ? "" : `${fraction}000`) + "+00:00",
  );
}

/** The function that newer runtimes have and older type libraries lack. */
interface RawJson {
  parse(text: string): unknown;
  rawJSON?(text: string): unknown;
}

/** Newer runtimes write any number; older ones only what a double can hold. */
function rawNumber(value: bigint, place: Place | undefined): unknown {
  const json: RawJson = JSON;
  if (json.rawJSON !== undefined) return json.rawJSON(String(value));
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw unwritable(place, "this runtime cannot write a bigint beyond 2^53");
}

function unwritable(
  place: Place | undefined,
  why: string,
  cause?: unknown,
): EncodeError {
  return refused(place, "JSON", why, cause);
}

function revive(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(revive);
  const entries = Object.entries(value);
  if (entries.length === 2 && "__type__" in value && "__value__" in value) {
    return reviveTyped(value.__type__, revive(value.__value__));
  }
  // fromEntries defines properties: a key of "__proto__" stays a key.
  return Object.fromEntries(
    entries.map(([key, each]) => [key, revive(each)]),
  );
}

function reviveTyped(type: unknown, value: unknown): unknown {
  switch (type) {
    case "datetime":
      if (typeof value === "string") return parseDate(value);
      break;
    case "bytes":
      if (typeof value === "string") return encodeText(value);
      break;
    case "base64":
      if (typeof value === "string") return decodeBase64(value);
      break;
    case "date":
    case "time":
    case "decimal":
    case "uuid":
      return new TypedValue(type, value);
  }
  throw new DecodeError(
    `Cannot decode a typed value of type ${
      quote(type)
    }: known are datetime, date, time, decimal, uuid, bytes and base64, and all but uuid hold a string`,
  );
}

/** No moment has more characters, in any notation. */
const MAX_DATE = 100;

function parseDate(text: string): Date {
  if (text.length > MAX_DATE) throw noDate(text);
  const zoned = /(?:Z|[+-]\d\d:?\d\d(?::?\d\d(?:\.\d+)?)?)$/i.test(text);
  const date = new Date(
    // Beyond the millisecond there is nothing to hold it.
    `${text.replace(/(\.\d{3})\d+/, "$1")}${zoned ? "" : "Z"}`,
  );
  if (!Number.isNaN(date.getTime())) return date;
  throw noDate(text);
}

function noDate(text: string): DecodeError {
  return new DecodeError(
    `Cannot decode ${quote(text)} as a datetime: it is none`,
  );
}
