/** What a broker that is not like RabbitMQ would ignore: it is refused. */

import { UnsupportedError } from "../../model/errors.ts";
import {
  type ExchangeDeclaration,
  isRoutingType,
  ROUTING_TYPES,
} from "../../model/exchange.ts";
import type { Publishing } from "../../model/message.ts";
import { refusePublishing } from "../store/capabilities.ts";
import { lackingFor } from "./errors.ts";
import type { Server } from "./server.ts";

/**
 * Refuses an exchange that the broker would declare as another one.
 *
 * @param server The broker.
 * @param exchange The declaration.
 * @throws {UnsupportedError} If it asks for an extension of RabbitMQ's, and this is another.
 */
export function refuseExchange(
  server: Server,
  { name, type, internal, arguments: given }: ExchangeDeclaration,
): void {
  if (server.isLikeRabbitmq) return;
  const why = !isRoutingType(type)
    ? `of type "${type}": plugins' types are RabbitMQ's; this broker has ${
      ROUTING_TYPES.join(", ")
    }`
    : internal
    ? `as internal: that is RabbitMQ's, and this is ${named(server)}`
    : given["alternate-exchange"] !== undefined
    ? `with an alternate exchange: that is RabbitMQ's, and this is ${
      named(server)
    }`
    : undefined;
  if (why === undefined) return;
  throw new UnsupportedError(`Cannot declare exchange "${name}" ${why}`);
}

/**
 * Says why the broker cannot take a message as it is. One that was in a queue before, and
 * is written again, is not asked for anew.
 *
 * @param server The broker.
 * @param message The message.
 * @returns The error, or `undefined` if all is well.
 */
export function refuseMessage(
  server: Server,
  message: Publishing,
): UnsupportedError | undefined {
  const lacking = lackingFor(message);
  if (lacking !== undefined) return lacking;
  if (server.isLikeRabbitmq || message.republished) return undefined;
  const { headers } = message.properties;
  if (headers?.CC !== undefined || headers?.BCC !== undefined) {
    return new UnsupportedError(
      `Cannot publish a message with CC or BCC: they are RabbitMQ's, and this is ${
        named(server)
      }; publish it once for each key`,
    );
  }
  return refusePublishing(server.capabilities, message);
}

function named({ product, version }: Server): string {
  return product === undefined
    ? "a broker that does not say which it is"
    : [product, version].filter((each) => each !== undefined).join(" ");
}
