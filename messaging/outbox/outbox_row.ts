import {
  type CodecRegistry,
  parseJson,
  stringifyJson,
} from "../../codec/mod.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import { OptionError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { OutboxRow } from "../../transports/outbox.ts";
import { exchangeName } from "../entities/exchange.ts";
import { Queue } from "../entities/queue.ts";
import { checkDedupe } from "../publish/dedupe.ts";
import { encode } from "../publish/encoding.ts";
import type { PublishOptions } from "../publish/producer_options.ts";
import {
  checkExchange,
  checkQueue,
  checkRange,
  propertiesOf,
} from "../publish/publishing.ts";
import type { OutboxPublishOptions } from "./outbox_options.ts";

/** What the relay publishes a body with. */
type Stored = Omit<PublishOptions, "transaction" | "declare" | "signal">;

/**
 * Makes a message for an outbox: what cannot be published is refused now.
 *
 * @throws {EncodeError} If the payload cannot be written.
 * @throws {OptionError} If it goes nowhere, or an option is bad.
 * @throws {RangeError} If a number is out of range.
 */
export async function makeMessage(
  codecs: CodecRegistry,
  payload: unknown,
  { transaction: _, ...options }: OutboxPublishOptions,
): Promise<Publishing> {
  checkExchange(options.exchange);
  checkQueue(options);
  const encoded = await encode(codecs, payload, {
    serializer: options.serializer,
    compression: options.compression,
    contentType: options.contentType,
    contentEncoding: options.contentEncoding,
  });
  if (options.dedupe !== undefined) checkDedupe(options.dedupe);
  return {
    ...destinationOf(options),
    mandatory: options.mandatory === true,
    delay: checkRange("delay", options.delay, 0, MAX_WAIT) ?? 0,
    properties: propertiesOf(options, options.replyTo, encoded),
    body: encoded.body,
  };
}

/**
 * Writes a message as a row.
 *
 * @param message The message, as the hooks have passed it on.
 * @param options What it was published with.
 * @throws {EncodeError} If a header cannot be written.
 */
export function rowOf(
  { exchange, routingKey, delay, properties, body }: Publishing,
  { mandatory, key, dedupe }: OutboxPublishOptions,
): OutboxRow {
  const { deliveryMode, ...others } = properties;
  const messageId = others.messageId ?? "";
  const stored: Stored = {
    ...others,
    exchange,
    routingKey,
    mandatory,
    key,
    delay,
    persistent: deliveryMode !== "transient",
    dedupe,
  };
  return { messageId, head: stringifyJson(stored), body };
}

/** Reads the options that a row's body is published with. */
export function readRow({ head }: OutboxRow): Stored {
  return parseJson(head) as Stored;
}

function destinationOf(
  { queue, exchange, routingKey }: Omit<OutboxPublishOptions, "transaction">,
): { readonly exchange: string; readonly routingKey: string } {
  if (queue !== undefined) {
    const name = queue instanceof Queue ? queue.name : queue;
    return { exchange: "", routingKey: name };
  }
  const name = exchangeName(exchange ?? "");
  if (name === "" && (routingKey ?? "") === "") {
    throw new OptionError(
      'Cannot publish to an outbox without a destination: give "queue", or "exchange" and "routingKey"',
    );
  }
  return { exchange: name, routingKey: routingKey ?? "" };
}
