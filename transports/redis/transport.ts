import { createStoreTransport } from "../store/connection.ts";
import type { Transport } from "../transport.ts";
import { RedisStore } from "./store.ts";

/**
 * Makes the Redis transport.
 *
 * @returns The transport.
 */
export function createTransport(): Transport {
  return createStoreTransport({
    name: "redis",
    defaults: { hostname: "127.0.0.1", port: 6379 },
    open: (url, options) => RedisStore.open(url, options),
  });
}
