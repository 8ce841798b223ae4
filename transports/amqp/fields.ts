import { DecodeError, EncodeError } from "../../model/errors.ts";
import type { FieldTable, FieldValue } from "../../model/field_table.ts";

/** How amqplib is told the type of a value. */
interface Typed {
  readonly "!": string;
  readonly value: unknown;
}

/** What amqplib writes into a table. */
export type RawValue =
  | string
  | number
  | boolean
  | null
  | Uint8Array
  | Typed
  | readonly RawValue[]
  | { readonly [name: string]: RawValue };

const INT64_LEAST = -(2n ** 63n);
const INT64_MOST = 2n ** 63n - 1n;

/**
 * Writes a table for amqplib. Left to itself it writes small integers in types that
 * py-amqp reads differently, and a `Date` as an empty table; so all numbers are
 * `int32`, `int64` or `double` here.
 *
 * @param table The table.
 * @param toBuffer Makes the only kind of bytes that amqplib takes.
 * @returns What to hand to amqplib; `undefined` entries are left out.
 * @throws {EncodeError} If a value has no type in AMQP.
 */
export function encodeFields(
  table: FieldTable,
  toBuffer: (bytes: Uint8Array) => Uint8Array,
): { readonly [name: string]: RawValue } {
  const raw: Record<string, RawValue> = {};
  for (const name of Object.keys(table)) {
    const value = table[name];
    if (value === undefined) continue;
    if (name.length > 85 && new TextEncoder().encode(name).length > 255) {
      throw new EncodeError(
        `Cannot encode a header whose name has more than 255 bytes: "${
          name.slice(0, 40)
        }…"`,
      );
    }
    raw[name] = encodeValue(name, value, toBuffer);
  }
  return raw;
}

function encodeValue(
  name: string,
  value: FieldValue,
  toBuffer: (bytes: Uint8Array) => Uint8Array,
): RawValue {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return encodeNumber(value);
    case "bigint":
      if (value < INT64_LEAST || value > INT64_MOST) {
        throw new EncodeError(
          `Cannot encode the header "${name}": ${value} is beyond 64 bits`,
        );
      }
      return { "!": "int64", value };
    case "object":
      break;
    default:
      throw new EncodeError(
        `Cannot encode the header "${name}": AMQP has no type for a ${typeof value}`,
      );
  }
  if (value === null) return null;
  if (value instanceof Uint8Array) return toBuffer(value);
  if (value instanceof Date) return encodeDate(name, value);
  if (isArray(value)) {
    return value.map((each) => encodeValue(name, each, toBuffer));
  }
  // Said outright: a table with a key "!" would be taken for a typed value.
  return { "!": "object", value: encodeFields(value, toBuffer) };
}

function encodeNumber(value: number): RawValue {
  if ((value | 0) === value && !Object.is(value, -0)) {
    return { "!": "int32", value };
  }
  return Number.isSafeInteger(value) && !Object.is(value, -0)
    ? { "!": "int64", value }
    : { "!": "double", value };
}

function encodeDate(name: string, value: Date): RawValue {
  const seconds = Math.floor(value.getTime() / 1000);
  if (seconds >= 0) return { "!": "timestamp", value: seconds };
  throw new EncodeError(
    `Cannot encode the header "${name}": AMQP's timestamps are seconds from 1970 on`,
  );
}

/** `Array.isArray` does not narrow readonly arrays out of a union. */
function isArray(
  value: readonly FieldValue[] | FieldTable,
): value is readonly FieldValue[] {
  return Array.isArray(value);
}

const TEXT = new TextDecoder();
const STRICT_TEXT = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a table from its bytes: all that amqplib reads, and what it does not:
 * unsigned 64-bit integers, which py-amqp writes, and integers beyond 2^53, which
 * are `bigint`. Timestamps are `Date`, decimals are numbers, and strings that are no UTF-8
 * are bytes.
 *
 * @param bytes The table without its length.
 * @returns The table.
 * @throws {DecodeError} If a value has an unknown type, or the bytes end too early.
 */
export function decodeFields(bytes: Uint8Array): FieldTable {
  const reader = new Reader(bytes);
  try {
    return reader.table(bytes.byteLength);
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause;
    throw new DecodeError("Cannot decode a table of headers: it is cut off", {
      cause,
    });
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // Of the client's own kind of bytes, `slice` would not copy.
    this.#bytes = new Uint8Array(
      bytes.buffer,
      bytes.byteOffset,
      bytes.byteLength,
    );
    this.#view = new DataView(
      bytes.buffer,
      bytes.byteOffset,
      bytes.byteLength,
    );
  }

  table(end: number): FieldTable {
    const entries: [string, FieldValue][] = [];
    while (this.#at < end) {
      const length = this.#view.getUint8(this.#skip(1));
      entries.push([TEXT.decode(this.#take(length)), this.#value()]);
    }
    return Object.fromEntries(entries);
  }

  #value(): FieldValue {
    const type = String.fromCharCode(this.#view.getUint8(this.#skip(1)));
    const view = this.#view;
    switch (type) {
      case "t":
        return view.getUint8(this.#skip(1)) !== 0;
      case "b":
        return view.getInt8(this.#skip(1));
      case "B":
        return view.getUint8(this.#skip(1));
      case "s":
        return view.getInt16(this.#skip(2));
      case "u":
        return view.getUint16(this.#skip(2));
      case "I":
        return view.getInt32(this.#skip(4));
      case "i":
        return view.getUint32(this.#skip(4));
      case "l":
        return asInteger(view.getBigInt64(this.#skip(8)));
      case "L":
        return asInteger(view.getBigUint64(this.#skip(8)));
      case "f":
        return view.getFloat32(this.#skip(4));
      case "d":
        return view.getFloat64(this.#skip(8));
      case "D": {
        const places = view.getUint8(this.#skip(1));
        return view.getInt32(this.#skip(4)) / 10 ** places;
      }
      case "T":
        return new Date(Number(view.getBigUint64(this.#skip(8))) * 1000);
      case "S":
        return textOrBytes(this.#take(this.#length()));
      case "x":
        return this.#take(this.#length()).slice();
      case "V":
        return null;
      case "F":
        return this.table(this.#length() + this.#at);
      case "A": {
        const end = this.#length() + this.#at;
        const values: FieldValue[] = [];
        while (this.#at < end) values.push(this.#value());
        return values;
      }
    }
    throw new DecodeError(
      `Cannot decode a header of type "${type}": AMQP has no such type`,
    );
  }

  #length(): number {
    return this.#view.getUint32(this.#skip(4));
  }

  #take(length: number): Uint8Array {
    const start = this.#skip(length);
    if (this.#at > this.#bytes.byteLength) {
      throw new DecodeError("Cannot decode a table of headers: it is cut off");
    }
    return this.#bytes.subarray(start, this.#at);
  }

  #skip(length: number): number {
    const start = this.#at;
    this.#at += length;
    return start;
  }
}

/** AMQP's long strings are bytes: py-amqp writes its own bytes so. What is no text stays bytes. */
function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  try {
    return STRICT_TEXT.decode(bytes);
  } catch {
    return bytes.slice();
  }
}

function asInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
