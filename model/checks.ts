import type { Binding } from "./binding.ts";
import { EncodeError } from "./errors.ts";
import type { ExchangeDeclaration } from "./exchange.ts";
import {
  type FieldTable,
  type FieldValue,
  isFieldArray,
} from "./field_table.ts";
import { quote } from "./foreign_text.ts";
import type { Publishing } from "./message.ts";
import type { QueueDeclaration } from "./queue.ts";

/*
 * Every transport refuses, before it is sent, a message or declaration that AMQP cannot
 * carry: on RabbitMQ much of it would end the connection with all that is on it, and a
 * program that works on one broker should not fail on the next.
 */

/** The maximum number of bytes of AMQP's short strings: names, keys and properties. */
export const MAX_SHORT_STRING = 255;

/** The longest time that a message may wait, be it delayed or in a queue, ms: RabbitMQ's ten years. */
export const MAX_WAIT = 315_360_000_000;

/** So deep may tables and lists lie in each other. */
const MAX_DEPTH = 100;

const HALF = "half of a surrogate pair has no form in UTF-8";

const INT64_LEAST = -(2n ** 63n);
const INT64_MOST = 2n ** 63n - 1n;

/**
 * Refuses what is no short string of AMQP.
 *
 * @param what Its name, for the error.
 * @param text The text.
 * @throws {TypeError} If it is not a string, or holds half of a surrogate pair.
 * @throws {RangeError} If it is longer than 255 bytes in UTF-8.
 */
export function checkShortString(what: string, text: string): void {
  if (!isSurelyShort(text)) measure(what, text);
}

/** A string of 85 units has no more than 255 bytes: most are not measured. */
function isSurelyShort(text: string): boolean {
  return typeof text === "string" && text.length * 3 <= MAX_SHORT_STRING &&
    text.isWellFormed();
}

function measure(what: string, text: string): void {
  if (typeof text !== "string") {
    throw new TypeError(
      `Cannot use ${quote(text)} as ${what}: it must be a string`,
    );
  }
  if (!text.isWellFormed()) {
    throw new TypeError(
      `Cannot use ${quote(text, 40)} as ${what}: ${HALF}`,
    );
  }
  const bytes = new TextEncoder().encode(text).byteLength;
  if (bytes > MAX_SHORT_STRING) {
    throw new RangeError(
      `Cannot use ${
        quote(text, 40)
      } as ${what}: it has ${bytes} bytes, AMQP allows ${MAX_SHORT_STRING}`,
    );
  }
}

/**
 * Refuses what cannot be the name of an exchange or a queue.
 *
 * @param kind The kind of thing that it names, for the error.
 * @param name The name.
 * @throws {TypeError} If it is not a string.
 * @throws {RangeError} If it is longer than 255 bytes in UTF-8.
 */
export function checkName(kind: string, name: string): void {
  if (!isSurelyShort(name)) measure(`${kind} name`, name);
}

/**
 * Refuses a table with what AMQP has no form for: a number that is `NaN` or infinite
 * (RabbitMQ ends the connection over it), an integer beyond 64 bits, a text with half of a
 * surrogate pair, a date that is invalid or before 1970, a name of more than 255 bytes,
 * tables in each other without end.
 *
 * @param table The headers or the arguments.
 * @returns How many bytes it has at most, as AMQP writes it.
 * @throws {EncodeError} If it holds such a thing.
 */
export function checkTable(table: FieldTable): number {
  return tableSize(table, 0);
}

/**
 * Refuses an exchange that cannot be declared anywhere.
 *
 * @param exchange The exchange.
 * @throws As of {@linkcode checkName} and {@linkcode checkTable}.
 */
export function checkExchangeDeclaration(exchange: ExchangeDeclaration): void {
  checkName("exchange", exchange.name);
  checkShortString("exchange type", exchange.type);
  checkTable(exchange.arguments);
}

/**
 * Refuses a queue that cannot be declared anywhere.
 *
 * @param queue The queue.
 * @throws As of {@linkcode checkName} and {@linkcode checkTable}.
 */
export function checkQueueDeclaration(queue: QueueDeclaration): void {
  checkName("queue", queue.name);
  checkTable(queue.arguments);
}

/**
 * Refuses a binding that cannot be made anywhere.
 *
 * @param binding The binding.
 * @throws As of {@linkcode checkName} and {@linkcode checkTable}.
 */
export function checkBinding(binding: Binding): void {
  const { source, destination: { kind, name }, routingKey } = binding;
  checkName("exchange", source);
  checkName(kind, name);
  checkShortString("routing key", routingKey);
  checkTable(binding.arguments);
}

/**
 * Refuses a consumer that cannot be started anywhere.
 *
 * @param queue The queue's name.
 * @param options How it is to be started.
 * @throws As of {@linkcode checkName} and {@linkcode checkTable}.
 */
export function checkConsume(queue: string, options: {
  readonly consumerTag?: string | undefined;
  readonly arguments?: FieldTable | undefined;
}): void {
  checkName("queue", queue);
  const { consumerTag, arguments: table } = options;
  if (consumerTag !== undefined) checkShortString("consumer tag", consumerTag);
  if (table !== undefined) checkTable(table);
}

/**
 * Refuses a message that cannot be published anywhere.
 *
 * @param message The message.
 * @returns How many bytes its headers have at most, as AMQP writes them.
 * @throws {TypeError} If a name, a key or a property is of the wrong type.
 * @throws {RangeError} If one is too long, or a number is out of range.
 * @throws {EncodeError} If a header has no form in AMQP.
 */
export function checkPublishing(message: Publishing): number {
  const { exchange, routingKey, properties } = message;
  checkName("exchange", exchange);
  checkShortString("routing key", routingKey);
  const { contentType, contentEncoding, correlationId, replyTo } = properties;
  const { messageId, type, userId, appId } = properties;
  checkProperty("contentType", contentType);
  checkProperty("contentEncoding", contentEncoding);
  checkProperty("correlationId", correlationId);
  checkProperty("replyTo", replyTo);
  checkProperty("messageId", messageId);
  checkProperty("type", type);
  checkProperty("userId", userId);
  checkProperty("appId", appId);
  checkDelay(message.delay);
  const { headers, priority, expiration, timestamp } = properties;
  if (priority !== undefined) checkInteger("priority", priority, 255);
  if (expiration !== undefined) {
    checkInteger("expiration", expiration, MAX_WAIT);
  }
  if (timestamp !== undefined) checkTimestamp(timestamp);
  return headers === undefined ? 0 : tableSize(headers, 0);
}

function checkProperty(name: string, text: string | undefined): void {
  if (text !== undefined) checkShortString(name, text);
}

function checkInteger(name: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= most) return;
  throw new RangeError(
    `Cannot publish with ${name} ${
      quote(value)
    }: it must be a whole number from 0 to ${most}`,
  );
}

function checkDelay(value: number): void {
  if (typeof value === "number" && value >= 0 && value <= MAX_WAIT) return;
  throw new RangeError(
    `Cannot publish with delay ${
      quote(value)
    }: it must be a number of milliseconds from 0 to ${MAX_WAIT}`,
  );
}

function checkTimestamp(value: Date): void {
  if (!(value instanceof Date)) {
    throw new TypeError(
      `Cannot publish with timestamp ${quote(value)}: it must be a Date`,
    );
  }
  if (value.getTime() >= 0) return;
  throw new RangeError(
    "Cannot publish with a timestamp that is invalid or before 1970",
  );
}

function tableSize(table: FieldTable, depth: number): number {
  if (typeof table !== "object" || table === null) {
    throw new TypeError(
      `Cannot use ${
        quote(table)
      } as headers or arguments: they must be an object`,
    );
  }
  let size = 4;
  for (const name in table) {
    const value = table[name];
    if (value === undefined) continue;
    checkFieldName(name);
    size += 1 + 3 * name.length + valueSize(name, value, depth);
  }
  return size;
}

function checkFieldName(name: string): void {
  if (isSurelyShort(name)) return;
  if (!name.isWellFormed()) {
    throw new EncodeError(
      `Cannot encode the header ${quote(name, 40)}: ${HALF}`,
    );
  }
  if (new TextEncoder().encode(name).length > MAX_SHORT_STRING) {
    throw new EncodeError(
      `Cannot encode a header whose name has more than ${MAX_SHORT_STRING} bytes: ${
        quote(name, 40)
      }`,
    );
  }
}

function valueSize(name: string, value: FieldValue, depth: number): number {
  switch (typeof value) {
    case "string":
      if (value.isWellFormed()) return 5 + 3 * value.length;
      throw unfit(name, HALF);
    case "number":
      if (Number.isFinite(value)) return 9;
      throw unfit(name, `${value} is no number that brokers know`);
    case "boolean":
      return 2;
    case "bigint":
      if (value >= INT64_LEAST && value <= INT64_MOST) return 9;
      throw unfit(name, `${quote(value)} is beyond 64 bits`);
    case "object":
      break;
    default:
      throw unfit(name, `AMQP has no type for a ${typeof value}`);
  }
  if (value === null) return 1;
  if (value instanceof Uint8Array) return 5 + value.byteLength;
  if (value instanceof Date) {
    if (value.getTime() >= 0) return 9;
    throw unfit(
      name,
      "AMQP's timestamps are seconds from 1970 on, and this one is invalid or before",
    );
  }
  if (depth >= MAX_DEPTH) {
    throw unfit(
      name,
      `more than ${MAX_DEPTH} tables and lists lie in each other`,
    );
  }
  if (!isFieldArray(value)) return 1 + tableSize(value, depth + 1);
  let size = 5;
  for (const each of value) size += valueSize(name, each, depth + 1);
  return size;
}

function unfit(name: string, why: string): EncodeError {
  return new EncodeError(
    `Cannot encode the header ${quote(name, 100)}: ${why}`,
  );
}
