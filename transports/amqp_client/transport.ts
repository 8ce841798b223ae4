import { AmqpConnection } from "../amqp_protocol/connection.ts";
import type { Transport } from "../transport.ts";
import { dial } from "./client.ts";
import { readDialOptions } from "./options.ts";

/**
 * Makes the second AMQP transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/amqp_client";
 *
 * assertEquals(createTransport().name, "amqp_client");
 * ```
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
