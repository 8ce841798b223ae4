import { UnroutableError, UnsupportedError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { PublishOutcome } from "../../transports/transport.ts";
import { nearest } from "../../url/nearest.ts";
import type { ConnectionEvent } from "../connection/connection_state.ts";

/**
 * Makes the error for a message that came back: what would be right is said with it.
 *
 * @param message The message.
 * @param outcome The broker's answer.
 * @param declared The names of the queues that the session has declared, for one that may have been meant.
 * @returns The error.
 */
export function unroutable(
  { exchange, routingKey }: Publishing,
  outcome: PublishOutcome & { readonly type: "returned" },
  declared: Iterable<string>,
): UnroutableError {
  const { replyText } = outcome;
  if (exchange !== "") {
    return new UnroutableError(
      `Cannot publish to exchange "${exchange}" with routing key "${routingKey}": no queue took the message (${replyText}), and it is mandatory`,
    );
  }
  const others = [...declared].filter((name) => name !== routingKey);
  const meant = outcome.nearest ?? nearest(routingKey, others);
  return new UnroutableError(
    `Cannot publish to queue "${routingKey}": there is no such queue (${replyText})${
      meant === undefined
        ? "; declare it first, "
        : `; did you mean "${meant}"? Else declare it first, `
    }${UNLESS}`,
  );
}

/** How the error of a publish ends; a request has no such option. */
const UNLESS = 'or publish with "mandatory: false" if that is no error';

/**
 * Makes the error of a request that came back.
 *
 * @param error The error of that.
 * @returns The error that the request rejects with.
 */
export function nobodyThere({ message }: UnroutableError): UnroutableError {
  const said = message.replace(
    /^Cannot publish to/,
    "Nobody answers a request to",
  )
    .replace(`, ${UNLESS}`, "")
    .replace("took the message", "took the request")
    .replace(", and it is mandatory", "");
  return new UnroutableError(said);
}

/**
 * Makes the error for a message of which nobody could say whether a queue takes it.
 *
 * @param message The message.
 * @returns The error.
 */
export function unknowable({ routingKey }: Publishing): UnsupportedError {
  return new UnsupportedError(
    `Cannot publish to queue "${routingKey}" with "mandatory: true": this broker lacks the capability "known-queues", and makes the queue where it is not there; leave "mandatory" out`,
  );
}

/**
 * Makes the event of a message that reached nobody, and was not said to be mandatory.
 *
 * @param message The message.
 * @returns The event.
 */
export function reachedNobody(
  { exchange, routingKey, properties }: Publishing,
): ConnectionEvent {
  const { messageId } = properties;
  return { type: "unroutable", exchange, routingKey, messageId };
}
