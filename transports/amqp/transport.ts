import { readOptions } from "../../url/options.ts";
import { AmqpConnection } from "../amqp_protocol/connection.ts";
import {
  AMQP_OPTIONS,
  type AmqpTransportOptions,
  dialOptions,
} from "../amqp_protocol/options.ts";
import type { Transport } from "../transport.ts";
import { dial } from "./client.ts";
import { loadOnce } from "./load_client.ts";

/**
 * Makes the AMQP transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/amqp";
 *
 * assertEquals(createTransport().name, "amqp");
 * ```
 */
export function createTransport(): Transport {
  return {
    name: "amqp",
    async load() {
      await loadOnce();
    },
    async connect(url, options) {
      const { transportOptions } = options;
      const own = readOptions<AmqpTransportOptions>(AMQP_OPTIONS, {
        url,
        transportOptions,
      });
      const dialling = dialOptions(url, options, own);
      return await AmqpConnection.open(dial, dialling, url, options);
    },
  };
}
