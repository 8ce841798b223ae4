import { MAX_SHORT_STRING } from "../../model/checks.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";
import {
  type FieldTable,
  type FieldValue,
  isFieldArray,
  setField,
} from "../../model/field_table.ts";
import { shortText } from "./short_text.ts";

const INT64_LEAST = -(2n ** 63n);
const INT64_MOST = 2n ** 63n - 1n;

/**
 * Says how a number travels. Small integers too travel as 32 bits, for py-amqp reads the types
 * of smaller ones differently.
 *
 * @param value The number.
 * @returns AMQP's type for it.
 */
export function numberType(value: number): "int32" | "int64" | "double" {
  if (Object.is(value, -0)) return "double";
  if ((value | 0) === value) return "int32";
  return Number.isSafeInteger(value) ? "int64" : "double";
}

/**
 * Checks an integer.
 *
 * @param name The header's name, for the error.
 * @param value The integer.
 * @throws {EncodeError} If AMQP's largest type cannot hold it.
 */
export function checkInteger(name: string, value: bigint): void {
  if (value >= INT64_LEAST && value <= INT64_MOST) return;
  throw new EncodeError(
    `Cannot encode the header "${name}": ${value} is beyond 64 bits`,
  );
}

/**
 * Says what a date travels as.
 *
 * @param name The header's name, for the error.
 * @param value The date.
 * @returns Seconds from 1970 on.
 * @throws {EncodeError} If it is before.
 */
export function timestampOf(name: string, value: Date): number {
  const seconds = Math.floor(value.getTime() / 1000);
  if (seconds >= 0) return seconds;
  throw new EncodeError(
    `Cannot encode the header "${name}": AMQP's timestamps are seconds from 1970 on`,
  );
}

/**
 * Makes the error for a value that no table can hold.
 *
 * @param name The header's name.
 * @param value The value.
 * @returns The error.
 */
export function noType(name: string, value: unknown): EncodeError {
  return new EncodeError(
    `Cannot encode the header "${name}": AMQP has no type for a ${typeof value}`,
  );
}

/**
 * Checks a header's name.
 *
 * @param name The name.
 * @throws {EncodeError} If it has more bytes than AMQP allows.
 */
export function checkFieldName(name: string): void {
  if (
    name.length * 3 > MAX_SHORT_STRING &&
    UTF8.encode(name).length > MAX_SHORT_STRING
  ) {
    throw new EncodeError(
      `Cannot encode a header whose name has more than ${MAX_SHORT_STRING} bytes: "${
        name.slice(0, 40)
      }…"`,
    );
  }
}

const UTF8 = new TextEncoder();

/**
 * Counts the bytes of a table as both clients write it, its length among them.
 *
 * @param table The table, which `checkTable` has let pass.
 * @returns How many.
 */
export function sizeOfTable(table: FieldTable): number {
  let size = 4;
  for (const name of Object.keys(table)) {
    const value = table[name];
    if (value !== undefined) size += 1 + bytesOf(name) + sizeOf(value);
  }
  return size;
}

/**
 * Counts the bytes of a text in UTF-8.
 *
 * @param text The text.
 * @returns How many.
 */
export function bytesOf(text: string): number {
  return UTF8.encode(text).byteLength;
}

function sizeOf(value: FieldValue): number {
  switch (typeof value) {
    case "string":
      return 5 + bytesOf(value);
    case "boolean":
      return 2;
    case "number":
      return numberType(value) === "int32" ? 5 : 9;
    case "bigint":
      return 9;
  }
  if (value === null) return 1;
  if (value instanceof Uint8Array) return 5 + value.byteLength;
  if (value instanceof Date) return 9;
  if (!isFieldArray(value)) return 1 + sizeOfTable(value);
  return value.reduce((size: number, each) => size + sizeOf(each), 5);
}

const STRICT_TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads a table from its bytes: all that amqplib reads, and what it does not: the
 * 64-bit integers of py-amqp, and integers beyond 2^53, which are `bigint`. Timestamps are `Date`, decimals are numbers, and strings that are no UTF-8
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
    throw cutOff(cause);
  }
}

/** Under this key a table holds its own bytes, for `decodeFields` to read when somebody looks. */
const BYTES = Symbol("bytes");

/**
 * Makes a table that is nothing but its bytes.
 *
 * @param bytes Its bytes, which nobody changes.
 * @returns The table, for {@linkcode fromFields} to read.
 */
export function rawTable(bytes: Uint8Array): Record<string, object> {
  const table: Record<PropertyKey, object> = { [BYTES]: bytes };
  return table;
}

/**
 * Reads a table that a client has, from its bytes if they are at hand.
 *
 * @param table The client's table.
 * @returns The table.
 * @throws {DecodeError} If a value has an unknown type.
 */
export function fromFields(table: object): FieldTable {
  const bytes = BYTES in table ? table[BYTES] : undefined;
  if (bytes instanceof Uint8Array) return decodeFields(bytes);
  return Object.fromEntries(Object.entries(table));
}

/**
 * Says whether a table surely has no entry of a name: it is still its bytes, and these
 * are nowhere among them.
 *
 * @param table The client's table.
 * @param name The name, in ASCII.
 * @returns Whether that is so; if not, somebody has to read it.
 */
export function surelyLacks(table: object, name: string): boolean {
  const bytes = BYTES in table ? table[BYTES] : undefined;
  if (!(bytes instanceof Uint8Array)) return false;
  const first = name.charCodeAt(0);
  let at = bytes.indexOf(first);
  for (; at >= 0; at = bytes.indexOf(first, at + 1)) {
    let same = 1;
    while (same < name.length && bytes[at + same] === name.charCodeAt(same)) {
      same++;
    }
    if (same === name.length) return false;
  }
  return true;
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
    const table: Record<string, FieldValue> = {};
    while (this.#at < end) {
      const length = this.#view.getUint8(this.#skip(1));
      const start = this.#skip(length);
      if (this.#at > this.#bytes.byteLength) throw cutOff();
      const name = shortText(this.#bytes, start, length);
      setField(table, name, this.#value());
    }
    return table;
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
      case "L": // AMQP's letter for what has no sign, but py-amqp writes all its 64 bits so
        return asInteger(view.getBigInt64(this.#skip(8)));
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
      throw cutOff();
    }
    return this.#bytes.subarray(start, this.#at);
  }

  #skip(length: number): number {
    const start = this.#at;
    this.#at += length;
    return start;
  }
}

function cutOff(cause?: unknown): DecodeError {
  return new DecodeError("Cannot decode a table of headers: it is cut off", {
    cause,
  });
}

/** To call the decoder costs more than to look at so many bytes. */
const MAX_SHORT = 64;

/** Applied, and not called with `...`, which goes through an iterator. */
const CHARACTERS = String.fromCharCode;

/** AMQP's long strings are bytes: py-amqp writes its own bytes so. Bytes that are no UTF-8 text stay bytes. */
function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  if (bytes.byteLength <= MAX_SHORT) {
    let i = 0;
    while (i < bytes.byteLength && (bytes[i] ?? 0) < 128) i++;
    if (i === bytes.byteLength) return Reflect.apply(CHARACTERS, null, bytes);
  }
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
