import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type {
  IncomingChanges,
  IncomingMessage,
  OutgoingChanges,
  OutgoingMessage,
  PlainProperties,
} from "./hooks.ts";

/** The parts that `publish` may change. */
const OUTGOING: KnownOptions = optionsOf<OutgoingChanges>(
  "next() of a middleware's publish",
  {
    exchange: "string",
    routingKey: "string",
    properties: "object",
    headers: "object",
    body: true,
  },
);

/** The parts that `receive` may change. */
const INCOMING: KnownOptions = optionsOf<IncomingChanges>(
  "the result of a middleware's receive",
  { properties: "object", headers: "object", body: true },
);

/**
 * Makes of a message another one, on its way to the broker.
 *
 * @param message The message.
 * @param changes The parts that are other ones; none of them where there are none.
 * @returns The message to go on with.
 * @throws {OptionError} If there is another part, or one is of the wrong type.
 */
export function changedOutgoing(
  message: OutgoingMessage,
  changes: OutgoingChanges | undefined,
): OutgoingMessage {
  if (changes === undefined) return message;
  check(changes, OUTGOING);
  const {
    exchange = message.exchange,
    routingKey = message.routingKey,
    properties = message.properties,
    headers = message.headers,
    body = message.body,
  } = changes;
  return { ...message, exchange, routingKey, properties, headers, body };
}

/**
 * Makes of a message another one, on its way to the user. The parts of the first may be
 * made when somebody looks.
 *
 * @param message The message.
 * @param changes As of {@linkcode changedOutgoing}.
 * @returns The message to go on with.
 * @throws {OptionError} As of {@linkcode changedOutgoing}.
 */
export function changedIncoming(
  message: IncomingMessage,
  changes: IncomingChanges | undefined | void,
): IncomingMessage {
  if (changes === undefined) return message;
  check(changes, INCOMING);
  const { via, began, queue, exchange, routingKey, redelivered } = message;
  const {
    properties = message.properties,
    headers = message.headers,
    body = message.body,
  } = changes;
  return {
    via,
    began,
    queue,
    exchange,
    routingKey,
    redelivered,
    properties,
    headers,
    body,
    message: message.message,
  };
}

/** What both may have among the properties. */
const PROPERTIES: KnownOptions = optionsOf<PlainProperties>(
  'a middleware\'s "properties"',
  {
    contentType: "string",
    contentEncoding: "string",
    deliveryMode: "string",
    priority: "number",
    correlationId: "string",
    replyTo: "string",
    expiration: "number",
    messageId: "string",
    timestamp: "object",
    type: "string",
    userId: "string",
    appId: "string",
  },
  { headers: '"headers", beside the "properties"' },
);

function check(
  changes: { body?: unknown; properties?: PlainProperties | undefined },
  known: KnownOptions,
): void {
  checkKnown(changes, known);
  checkKnown(changes.properties, PROPERTIES);
  const { body } = changes;
  if (body === undefined || body instanceof Uint8Array) return;
  throw new OptionError(
    `Cannot use ${
      quote(body)
    } as the "body" of ${known.of}: it must be a Uint8Array`,
  );
}
