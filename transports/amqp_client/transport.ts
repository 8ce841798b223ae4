import { AmqpConnection } from "../amqp_protocol/connection.ts";
import type { Transport } from "../transport.ts";
import { dial } from "./client.ts";
import { readDialOptions } from "./options.ts";

/**
 * Makes the second AMQP transport.
 *
 * @returns The transport.
 */
export function createTransport(): Transport {
  return {
    name: "amqp_client",
    async connect(url, options) {
      const { webSocket, ...dialling } = readDialOptions(url, options);
      return await AmqpConnection.open(
        (dialled, ...rest) => dial({ ...dialled, webSocket }, ...rest),
        dialling,
        url,
        options,
      );
    },
  };
}
