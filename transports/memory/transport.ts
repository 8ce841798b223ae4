import type { Clock } from "../../async/clock.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { readOptions } from "../../url/options.ts";
import { createStoreTransport } from "../store/connection.ts";
import type { Transport } from "../transport.ts";
import { MemoryBroker } from "./broker.ts";
import { MemoryStore } from "./store.ts";

/** The brokers of this process by name. */
const BROKERS = new Map<string, MemoryBroker>();

/**
 * Makes the in-memory transport.
 *
 * @returns The transport. All of them share the brokers of this process.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/memory";
 *
 * assertEquals(createTransport().name, "memory");
 * ```
 */
export function createTransport(): Transport {
  return createStoreTransport({
    name: "memory",
    open(url, { clock, transportOptions }) {
      readOptions({}, { url, transportOptions });
      return Promise.resolve(new MemoryStore(brokerOf(url, clock), { clock }));
    },
  });
}

function brokerOf(url: BrokerUrl, clock: Clock): MemoryBroker {
  const name = `${url.hostname ?? ""}/${url.virtualHost ?? "/"}`;
  let broker = BROKERS.get(name);
  if (broker === undefined) BROKERS.set(name, broker = new MemoryBroker(clock));
  return broker;
}
