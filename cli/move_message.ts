import type { Delivery, Publishing } from "../mod.ts";
import { DELIVERY_COUNTS } from "../model/delivery_counts.ts";

/** The longest id that a broker remembers, bytes in UTF-8. */
const MAX_ID = 255;

/** How a message is put into another queue. */
export interface MovedTo {
  /** The queue. */
  readonly to: string;
  /** Whether the target says that it is not there. */
  readonly mandatory: boolean;
  /** Whether the target takes no message in another user's name. */
  readonly checksUser: boolean;
  /** How long a second message of its id is put nowhere, ms. */
  readonly dedupe: number | undefined;
  /** Milliseconds until it may be delivered. @default {0} */
  readonly delay?: number | undefined;
}

/** The parts of a message that go with it. */
export type Movable =
  & Pick<Publishing, "properties" | "body">
  & Pick<Delivery, "timeLeft">;

/**
 * Makes the message to publish of one that was taken: its body, its properties and its
 * headers as they are. `CC` and `BCC` are left out, for the queues that they name have had
 * the message; how often it was delivered there, for it is new here; and a user whom the
 * target would not believe.
 *
 * @param message The message as it was taken, or seen.
 * @param how Where it goes to.
 * @returns The message.
 */
export function movedMessage(
  { properties, body, timeLeft = Infinity }: Movable,
  { to, mandatory, checksUser, dedupe, delay = 0 }: MovedTo,
): Publishing {
  const { userId, headers, expiration, ...rest } = properties;
  const { messageId } = rest;
  const isNamed = messageId !== undefined && messageId !== "" &&
    new TextEncoder().encode(messageId).length <= MAX_ID;
  return {
    exchange: "",
    routingKey: to,
    mandatory,
    delay,
    properties: {
      ...rest,
      headers: headersOf(headers),
      // It lives no longer there than it would have lived here.
      expiration: expiration &&
        Math.min(expiration, Math.max(1, Math.ceil(timeLeft))),
      userId: checksUser ? undefined : userId,
    },
    body,
    // Its headers are what they were, whatever they are.
    republished: true,
    dedupe: dedupe === undefined || !isNamed
      ? undefined
      : { id: messageId, window: dedupe, token: crypto.randomUUID() },
  };
}

function headersOf(
  headers: Movable["properties"]["headers"],
): Movable["properties"]["headers"] {
  const isLeft = (name: string) =>
    name === "CC" || name === "BCC" || DELIVERY_COUNTS.has(name);
  if (headers === undefined || !Object.keys(headers).some(isLeft)) {
    return headers;
  }
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !isLeft(name)),
  );
}
