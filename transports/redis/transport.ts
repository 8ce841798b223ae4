import { createStoreTransport } from "../store/connection.ts";
import type { Transport } from "../transport.ts";
import { REDIS } from "../url_defaults.ts";
import { RedisStore } from "./store.ts";

/**
 * Makes the Redis transport.
 *
 * @returns The transport.
 */
export function createTransport(): Transport {
  return createStoreTransport({
    name: "redis",
    defaults: REDIS,
    open: (url, options) => RedisStore.open(url, options),
  });
}
