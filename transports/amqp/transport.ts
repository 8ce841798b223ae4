import type { Transport } from "../transport.ts";
import { AmqpConnection } from "./connection.ts";

/**
 * Makes the AMQP transport.
 *
 * @returns The transport.
 */
export function createTransport(): Transport {
  return {
    name: "amqp",
    connect: (url, options) => AmqpConnection.open(url, options),
  };
}
