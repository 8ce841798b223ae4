/**
 * A value in headers or arguments: what AMQP 0-9-1's field tables can carry.
 *
 * Whole numbers travel as integers of the smallest size that every reader
 * understands, other numbers as doubles; a `bigint` is a 64-bit integer. An
 * integer that arrives and is beyond `Number.MAX_SAFE_INTEGER` is a `bigint`. A
 * `Date` has the precision of a second on AMQP.
 */
export type FieldValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly FieldValue[]
  | FieldTable;

/** Named values: the headers of a message, the arguments of a declaration. */
export interface FieldTable {
  /** One value by its name; `undefined` is left out on the wire. */
  readonly [name: string]: FieldValue | undefined;
}

/**
 * Tells a table from the other values.
 *
 * @param value The value.
 * @returns Whether it is a table.
 */
export function isFieldTable(value: FieldValue): value is FieldTable {
  return typeof value === "object" && value !== null &&
    !Array.isArray(value) && !(value instanceof Date) &&
    !(value instanceof Uint8Array);
}

/**
 * Tells a list from a table: `Array.isArray` does not narrow readonly lists out of a union.
 *
 * @param value The value.
 * @returns Whether it is a list.
 */
export function isFieldArray(
  value: readonly FieldValue[] | FieldTable,
): value is readonly FieldValue[] {
  return Array.isArray(value);
}

/**
 * Sets a value by a name of its own, whatever the name means to objects: `__proto__` too.
 *
 * @param table The table.
 * @param name The name.
 * @param value The value.
 */
export function setField(
  table: Record<string, FieldValue>,
  name: string,
  value: FieldValue,
): void {
  if (name !== "__proto__") {
    table[name] = value;
    return;
  }
  Object.defineProperty(table, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}
