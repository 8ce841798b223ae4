import {
  type FieldTable,
  type FieldValue,
  isFieldArray,
  setField,
} from "./field_table.ts";
import type { MessageProperties, Publishing } from "./message.ts";

/**
 * Copies a message, as a broker would that has read it from a socket: nothing that is
 * done with the one shows in the other.
 *
 * @param message The message.
 * @returns The copy.
 */
export function copyOf(message: Publishing): Publishing {
  const { exchange, routingKey, mandatory, delay, properties, body } = message;
  return {
    exchange,
    routingKey,
    mandatory,
    delay,
    properties: copyOfProperties(properties),
    // Not by slice(): that of Node's Buffer shares its memory.
    body: new Uint8Array(body),
  };
}

/** Copies properties, and what is in their headers. */
export function copyOfProperties(
  properties: MessageProperties,
): MessageProperties {
  const { headers, timestamp } = properties;
  if (headers === undefined && timestamp === undefined) {
    return { ...properties };
  }
  return {
    ...properties,
    headers: headers && copyOfTable(headers),
    timestamp: timestamp && new Date(timestamp),
  };
}

function copyOfTable(table: FieldTable): FieldTable {
  const copy: Record<string, FieldValue> = {};
  for (const name of Object.keys(table)) {
    const value = table[name];
    if (value === undefined) continue; // as on the wire
    setField(copy, name, copyOfValue(value));
  }
  return copy;
}

function copyOfValue(value: FieldValue): FieldValue {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (value instanceof Date) return new Date(value);
  return isFieldArray(value) ? value.map(copyOfValue) : copyOfTable(value);
}
