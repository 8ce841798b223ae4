import type { MessageProperties, Publishing } from "../../model/message.ts";
import { encodeFields, type RawValue } from "./fields.ts";

type ToBuffer = (bytes: Uint8Array) => Uint8Array;

/** The fields that amqplib publishes a message with. */
export interface RawPublishing {
  readonly mandatory: boolean;
  readonly headers: { readonly [name: string]: RawValue } | undefined;
  readonly [name: string]: unknown;
}

/**
 * Writes a message's properties for amqplib.
 *
 * @param message The message.
 * @param toBuffer Makes the only kind of bytes that amqplib takes.
 * @returns The value to hand to amqplib.
 * @throws {EncodeError} If a header has no type in AMQP.
 */
export function optionsOf(
  { mandatory, properties }: Publishing,
  toBuffer: ToBuffer,
): RawPublishing {
  const { headers, deliveryMode, expiration, timestamp } = properties;
  return {
    mandatory,
    headers: headers && encodeFields(headers, toBuffer),
    contentType: properties.contentType,
    contentEncoding: properties.contentEncoding,
    deliveryMode: modeOf(deliveryMode),
    priority: properties.priority,
    correlationId: properties.correlationId,
    replyTo: properties.replyTo,
    expiration: expiration === undefined ? undefined : String(expiration),
    messageId: properties.messageId,
    timestamp: timestamp === undefined
      ? undefined
      : Math.floor(timestamp.getTime() / 1000),
    type: properties.type,
    userId: properties.userId,
    appId: properties.appId,
  };
}

function modeOf(
  mode: MessageProperties["deliveryMode"],
): number | undefined {
  switch (mode) {
    case "persistent":
      return 2;
    case "transient":
      return 1;
    case undefined:
      return undefined;
  }
}
