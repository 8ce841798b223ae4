import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import { cannotConnect, NotNowError } from "../connection_errors.ts";
import { createStoreTransport } from "../store/connection.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { REDIS } from "../url_defaults.ts";
import { Cluster } from "./cluster/cluster_client.ts";
import { connect, dialCluster } from "./connect.ts";
import { Context } from "./context.ts";
import { Layout } from "./layout.ts";
import { Mirror } from "./declared/mirror.ts";
import { readRedisOptions, type RedisOptions } from "./options.ts";
import { SlotContext } from "./cluster/slot_context.ts";
import { RedisStore } from "./store.ts";

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

async function openCluster(
  url: BrokerUrl,
  { address }: RedisOptions,
  { shared }: Layout,
  options: ConnectOptions,
): Promise<Cluster> {
  const { clock, signal, deadline, operationTimeout: timeout } = options;
  const dialer = dialCluster(url, address, options);
  const settings = { shared, clock, timeout };
  return await Cluster.open(dialer, settings, { signal, deadline });
}

async function open(url: BrokerUrl, options: ConnectOptions): Promise<Store> {
  try {
    return await openStore(url, options);
  } catch (error) {
    if (!(error instanceof NotNowError)) throw error;
    const action = `connect to "${formatUrl(url)}"`;
    throw cannotConnect(action, error.message, { cause: error });
  }
}

async function openStore(
  url: BrokerUrl,
  options: ConnectOptions,
): Promise<Store> {
  const redis = readRedisOptions(url, options);
  const { owner, clock, signal, deadline } = options;
  const limits = { signal, deadline };
  const layout = new Layout(redis.layout);
  const sockets = redis.address.cluster
    ? await openCluster(url, redis, layout, options)
    : await connect(url, redis.address, options);
  const { commands, listener } = sockets;
  try {
    const mirror = new Mirror(layout, redis.fanout === "queue");
    const Kind = redis.layout.sharded ? SlotContext : Context;
    const { replicas } = redis;
    const settings = { layout, clock, owner, replicas };
    const context = new Kind(commands, mirror, settings);
    const store = new RedisStore(context, sockets, redis, options);
    await store.open(limits);
    return store;
  } catch (error) {
    await commands[Symbol.asyncDispose]();
    await listener[Symbol.asyncDispose]();
    throw error;
  }
}
