import { MessagingError } from "../../model/errors.ts";
import type { Delivery } from "../../model/message.ts";
import type { Hooks, IncomingMessage, InUse } from "../middleware/hooks.ts";
import { passOn } from "../publish/hooked_publisher.ts";
import type { Pending } from "./pending.ts";

/**
 * Has a request pass the middlewares, once, and publishes it then. Never throws: an error is
 * the request's.
 *
 * @param hooks The middlewares' hooks.
 * @param pending The request.
 * @param launch Publishes it, as it is then.
 */
export function launchThrough(
  hooks: NonNullable<Hooks["publish"]>,
  pending: Pending,
  launch: () => void,
): void {
  const { correlationId } = pending.message.properties;
  const confirming = pending.confirming = Promise.withResolvers<void>();
  confirming.promise.catch(() => {});
  let isPassed = false;
  passOn(hooks, pending.message, "request", undefined, (message) => {
    if (!isPassed) {
      isPassed = true;
      const properties = { ...message.properties, correlationId };
      pending.message = { ...message, properties };
      launch();
    }
    return confirming.promise;
  }).then(() => {
    if (!isPassed) pending.reject(notPassed());
  }, pending.reject);
}

function notPassed(): MessagingError {
  return new MessagingError(
    "Cannot get an answer: a middleware has not passed the request on",
    { code: "not-passed-on", outcome: "not-sent" },
  );
}

/**
 * Has an answer pass the middlewares.
 *
 * @param uses The middlewares.
 * @param reply The answer as it came.
 * @param began Since when its user has waited for it, on the clock.
 * @returns The answer as they hand it over.
 */
export async function received(
  uses: InUse | undefined,
  reply: Delivery,
  began: number,
): Promise<Delivery> {
  const receive = uses?.hooks?.receive;
  if (receive === undefined) return reply;
  const { queue, exchange, routingKey, redelivered, body } = reply;
  const { headers = {}, ...properties } = reply.properties;
  const incoming: IncomingMessage = {
    via: "reply",
    began,
    queue,
    exchange,
    routingKey,
    redelivered,
    properties,
    headers,
    body,
    message: undefined,
  };
  const handed = await receive(incoming);
  return handed === incoming ? reply : {
    ...reply,
    properties: { ...handed.properties, headers: handed.headers },
    body: handed.body,
  };
}
