import type { BrokerUrl } from "../../url/broker_url.ts";
import { createStoreTransport } from "../store/connection.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { REDIS } from "../url_defaults.ts";
import { connect } from "./connect.ts";
import { Context } from "./context.ts";
import { Layout } from "./layout.ts";
import { Mirror } from "./mirror.ts";
import { readRedisOptions } from "./options.ts";
import { RedisStore } from "./store.ts";
import { subscribe, track } from "./tracking.ts";

/**
 * Makes the Redis transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/redis";
 *
 * assertEquals(createTransport().name, "redis");
 * ```
 */
export function createTransport(): Transport {
  return createStoreTransport({ name: "redis", defaults: REDIS, open });
}

async function open(url: BrokerUrl, options: ConnectOptions): Promise<Store> {
  const redis = readRedisOptions(url, options);
  const { owner, clock, signal, deadline } = options;
  const limits = { signal, deadline };
  const { commands, listener } = await connect(url, redis.address, options);
  try {
    const layout = new Layout(redis.layout);
    const mirror = new Mirror(layout, redis.fanout === "queue");
    const context = new Context(commands, mirror, { layout, clock, owner });
    const id = await subscribe(listener, limits);
    const rings = id !== undefined && await track(commands, id, limits);
    const store = new RedisStore(context, listener, redis, options, rings, id);
    await store.open(limits);
    return store;
  } catch (error) {
    await commands[Symbol.asyncDispose]();
    await listener[Symbol.asyncDispose]();
    throw error;
  }
}
