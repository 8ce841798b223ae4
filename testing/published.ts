import type { CodecRegistry } from "../codec/mod.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { MessageProperties } from "../model/message.ts";

/** A message that was published, and that the broker has taken. */
export interface PublishedMessage {
  /** Its payload, as a consumer reads it; its body where no codec of the test's broker reads that. */
  readonly payload: unknown;
  /** The exchange that it was published to; `""` where it was sent to a queue. */
  readonly exchange: string;
  /** The key that it was published with: the name of the queue where it was sent to one. */
  readonly routingKey: string;
  /** Its headers. */
  readonly headers: FieldTable;
  /** Its properties, without the headers. */
  readonly properties: MessageProperties;
  /** Milliseconds until it may be delivered. */
  readonly delay: number;
  /**
   * The verb that it was published by: `publish` and `send` of a user, a request or the reply
   * to one, `redrive`, the tick of a schedule, or an outbox, when it is written there and
   * when its relay publishes it.
   */
  readonly origin:
    | "publish"
    | "request"
    | "reply"
    | "redrive"
    | "schedule"
    | "outbox"
    | "relay";
  /** Its body, as it was encoded. */
  readonly body: Uint8Array;
}

/**
 * Makes the record of a message.
 *
 * @param codecs The codecs that read it.
 * @param message The message on its way to the broker.
 * @returns The record, of which nobody else has a part.
 */
export function publishedOf(
  codecs: CodecRegistry,
  message: Omit<PublishedMessage, "payload">,
): PublishedMessage {
  const { exchange, routingKey, headers, properties, delay, origin } = message;
  const body = message.body.slice();
  return {
    payload: payloadOf(codecs, { headers, properties, body }),
    exchange,
    routingKey,
    headers: { ...headers },
    properties: { ...properties },
    delay,
    origin,
    body,
  };
}

function payloadOf(
  codecs: CodecRegistry,
  { headers, properties, body }: Pick<
    PublishedMessage,
    "headers" | "properties" | "body"
  >,
): unknown {
  const { contentType, contentEncoding } = properties;
  try {
    return codecs.decode(body.slice(), {
      contentType,
      contentEncoding,
      compression: headers["compression"],
    });
  } catch {
    return body;
  }
}
