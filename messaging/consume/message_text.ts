import { asError } from "../../model/error_text.ts";
import type { Inspect } from "../inspect_by.ts";
import type { Message } from "./message_type.ts";

/** Headers and a payload are shown up to so many characters each. */
const MAX_CHARACTERS = 500;

/**
 * The text of a message, for whoever logs it: where it comes from, its attempt, its
 * headers and its payload, or the error that reading it throws.
 *
 * @param message The message.
 * @param inspect How values are shown.
 * @returns The text, of a few lines.
 */
export function textOfMessage(
  message: Message<unknown>,
  inspect: Inspect,
): string {
  const { deliveryInfo, properties: { messageId }, headers } = message;
  const { queue, exchange, routingKey, redelivered } = deliveryInfo;
  const id = messageId === undefined ? "" : ` ${JSON.stringify(messageId)}`;
  const facts = [
    `exchange ${JSON.stringify(exchange)}`,
    `routing key ${JSON.stringify(routingKey)}`,
    `attempt ${message.attempt}`,
    ...(redelivered ? ["redelivered"] : []),
    ...(message.settled ? ["settled"] : []),
  ];
  const lines = [
    `Message${id} of queue ${JSON.stringify(queue)} (${facts.join(", ")})`,
    ...(Object.keys(headers).length === 0
      ? []
      : [`headers: ${shortened(inspect(headers))}`]),
    `payload: ${payloadOf(message, inspect)}`,
  ];
  return lines.map((line) => line.replaceAll("\n", "\n  ")).join("\n  ");
}

function payloadOf(message: Message<unknown>, inspect: Inspect): string {
  let payload: unknown;
  try {
    payload = message.payload;
  } catch (thrown) {
    const { name, message } = asError(thrown);
    return `(${name}: ${shortened(message)})`;
  }
  return shortened(inspect(payload));
}

function shortened(text: string): string {
  const left = text.length - MAX_CHARACTERS;
  return left > 0
    ? `${text.slice(0, MAX_CHARACTERS)}… ${left} more characters`
    : text;
}
