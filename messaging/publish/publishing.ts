import type * as codec from "../../codec/mod.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import { OptionError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import type { MessageProperties } from "../../model/message.ts";
import { Exchange } from "../entities/exchange.ts";
import { isKey, KEY_HEADER, MAX_KEY } from "../../virtual/message_key.ts";
import { withoutAttempts } from "../consume/handler_retry.ts";
import type { ProducerOptions, PublishOptions } from "./producer_options.ts";
import { Queue } from "../entities/queue.ts";

/**
 * Refuses a value that is no exchange.
 *
 * @param exchange The value as it was given.
 * @throws {TypeError} If it is neither an exchange nor the name of one.
 */
export function checkExchange(exchange: Exchange | string | undefined): void {
  if (
    exchange === undefined || typeof exchange === "string" ||
    exchange instanceof Exchange
  ) return;
  throw new TypeError(
    `Cannot publish to ${
      quote(exchange)
    }: "exchange" must be an Exchange or the name of one; to publish to a queue, give its name as "routingKey"`,
  );
}

/**
 * Refuses a producer that would publish in two ways, or to no queue.
 *
 * @param options The options of the message.
 * @throws {TypeError} If that is so.
 */
export function checkQueue(
  { queue, exchange, routingKey }: ProducerOptions,
): void {
  if (queue === undefined) return;
  if (
    !(queue instanceof Queue) && (typeof queue !== "string" || queue === "")
  ) {
    throw new TypeError(
      `Cannot publish to ${
        quote(queue)
      }: "queue" must be a Queue or the name of one`,
    );
  }
  if (exchange === undefined && routingKey === undefined) return;
  throw new TypeError(
    `Cannot publish to a queue and to an exchange or by a routing key: give "queue" alone, or "exchange" and "routingKey"`,
  );
}

/**
 * Makes the properties of a message.
 *
 * @param options The options of the publish.
 * @param replyTo The name of the queue for replies.
 * @param encoded Its body.
 * @returns The properties.
 * @throws {RangeError} If a number is out of range.
 * @throws {OptionError} If the key is none.
 */
export function propertiesOf(
  options: PublishOptions,
  replyTo: string | undefined,
  { contentType, contentEncoding, compression }: codec.EncodedBody,
): MessageProperties {
  return {
    contentType,
    contentEncoding,
    headers: headersOf(options, compression),
    deliveryMode: options.persistent === false ? "transient" : "persistent",
    priority: checkRange("priority", options.priority, 0, 255),
    correlationId: options.correlationId,
    replyTo,
    expiration: checkRange(
      "expiration",
      options.expiration,
      0,
      MAX_WAIT,
    ),
    messageId: options.messageId ?? crypto.randomUUID(),
    timestamp: options.timestamp,
    type: options.type,
    userId: options.userId,
    appId: options.appId,
  };
}

function headersOf(
  { headers, key }: PublishOptions,
  compression: string | undefined,
): FieldTable | undefined {
  const own = withoutAttempts(headers);
  if (key === undefined) {
    return compression === undefined ? own : { ...own, compression };
  }
  const all = { ...own, [KEY_HEADER]: checkKey(key) };
  return compression === undefined ? all : { ...all, compression };
}

/**
 * Refuses a value that is no key.
 *
 * @param key The value as it was given.
 * @returns The same.
 * @throws {OptionError} If it is something else.
 */
export function checkKey(key: string): string {
  if (isKey(key)) return key;
  throw new OptionError(
    `Cannot publish with "key" ${
      quote(key)
    }: it must be a string of 1 to ${MAX_KEY} bytes in UTF-8`,
  );
}

/**
 * Refuses a number that is out of range, and rounds it up.
 *
 * @param name Its name, for an error.
 * @param value The number.
 * @param least The minimum.
 * @param most The maximum.
 * @returns A whole number.
 * @throws {RangeError} If it is out of range, or none.
 */
export function checkRange(
  name: string,
  value: number | undefined,
  least: number,
  most: number,
): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && value >= least && value <= most) {
    return Math.ceil(value);
  }
  throw new RangeError(
    `Cannot publish with ${name} ${
      quote(value)
    }: it must be a number from ${least} to ${most}${
      name === "priority" ? "" : ", milliseconds"
    }`,
  );
}
