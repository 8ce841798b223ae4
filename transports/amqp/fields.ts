import {
  type FieldTable,
  type FieldValue,
  isFieldArray,
} from "../../model/field_table.ts";
import {
  checkFieldName,
  checkInteger,
  noType,
  numberType,
  timestampOf,
} from "../amqp_protocol/fields.ts";

/** How amqplib is told the type of a value. */
interface Typed {
  readonly "!": string;
  readonly value: unknown;
}

/** A field value as amqplib writes it into a table. */
export type RawValue =
  | string
  | number
  | boolean
  | null
  | Uint8Array
  | Typed
  | readonly RawValue[]
  | { readonly [name: string]: RawValue };

/**
 * Writes a table for amqplib. Left to itself it writes small integers in types that
 * py-amqp reads differently, and a `Date` as an empty table; so all numbers are
 * `int32`, `int64` or `double` here.
 *
 * @param table The table.
 * @param toBuffer Makes the only kind of bytes that amqplib takes.
 * @returns The value to hand to amqplib; `undefined` entries are left out.
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
    checkFieldName(name);
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
      return { "!": numberType(value), value };
    case "bigint":
      checkInteger(name, value);
      return { "!": "int64", value };
    case "object":
      break;
    default:
      throw noType(name, value);
  }
  if (value === null) return null;
  if (value instanceof Uint8Array) return toBuffer(value);
  if (value instanceof Date) {
    return { "!": "timestamp", value: timestampOf(name, value) };
  }
  if (isFieldArray(value)) {
    return value.map((each) => encodeValue(name, each, toBuffer));
  }
  // Said outright: a table with a key "!" would be taken for a typed value.
  return { "!": "object", value: encodeFields(value, toBuffer) };
}
