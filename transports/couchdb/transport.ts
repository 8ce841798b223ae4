import { createStoreTransport } from "../store/connection.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import type { BrokerUrl, UrlDefaults } from "../../url/broker_url.ts";
import { CouchdbClient } from "./client.ts";
import { readDialOptions } from "./options.ts";
import { CouchdbStore } from "./store.ts";

const DEFAULTS: UrlDefaults = {
  hostname: "localhost",
  port: 5984,
  tlsPort: 6984,
  virtualHost: "dashi",
};

/**
 * Makes the CouchDB transport.
 *
 * @returns The transport.
 */
export function createTransport(): Transport {
  return createStoreTransport({ name: "couchdb", defaults: DEFAULTS, open });
}

async function open(
  url: BrokerUrl,
  options: ConnectOptions,
): Promise<CouchdbStore> {
  const { clock, signal, deadline, owner } = options;
  const dial = readDialOptions(url, options);
  const password = url.password ?? await options.password?.();
  const limits = { signal, deadline };
  const client = await CouchdbClient.open(dial, password, clock, limits);
  try {
    const { lease, heartbeat } = dial;
    const settings = { owner, clock, lease, heartbeat };
    return await CouchdbStore.open(client, settings, limits);
  } catch (error) {
    await client.close();
    throw error;
  }
}
