import {
  type FieldTable,
  type FieldValue,
  isFieldArray,
} from "../model/field_table.ts";

/**
 * Says whether two values are the same to RabbitMQ: numbers by their value, all else
 * of one type and equal.
 *
 * @param a One value.
 * @param b The other.
 * @returns Whether they are the same.
 */
export function sameValue(
  a: FieldValue | undefined,
  b: FieldValue | undefined,
): boolean {
  if (a === b) return true;
  // The usual case on the way of every message: a text equals no other value.
  if (typeof a === "string" || typeof b === "string") return false;
  return identify(a) === identify(b);
}

/**
 * Writes a value so that two texts are equal if the values are the same to RabbitMQ.
 *
 * @param value The value.
 * @returns The text.
 */
export function identify(value: FieldValue | undefined): string {
  switch (typeof value) {
    case "undefined":
      return "";
    case "string":
      return JSON.stringify(value);
    // However large on the wire: RabbitMQ compares numbers by their values.
    case "number":
      return Number.isInteger(value) ? `n${BigInt(value)}` : `n${value}`;
    case "bigint":
      return `n${value}`;
    case "boolean":
      return `t${value}`;
    case "object":
      return identifyObject(value);
  }
}

/**
 * Writes a table so that two texts are equal if the tables are the same to RabbitMQ.
 *
 * @param table The table; entries of `undefined` count as missing.
 * @returns The text.
 */
export function identifyTable(table: FieldTable): string {
  const entries = Object.keys(table).sort()
    .filter((name) => table[name] !== undefined)
    .map((name) => `${JSON.stringify(name)}:${identify(table[name])}`);
  return `{${entries.join(",")}}`;
}

function identifyObject(value: FieldValue & (object | null)): string {
  if (value === null) return "V";
  if (value instanceof Date) return `T${Math.floor(value.getTime() / 1000)}`;
  if (value instanceof Uint8Array) return `x${value.join(",")}`;
  if (isFieldArray(value)) return `[${value.map(identify).join(",")}]`;
  return identifyTable(value);
}
