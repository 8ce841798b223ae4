import assert from "node:assert/strict";
import { isStoreTransport, type Store } from "../../transports/store/mod.ts";
import { Broker } from "./broker.ts";
import type { Harness } from "./harness.ts";
import { arrives, CASE_PATIENCE } from "./support.ts";

/**
 * Runs a case over a store itself, beneath the channels, for what these keep to themselves.
 *
 * @param harness The harness, whose transport is made of a store.
 * @param run The body of the case, with the store of the connection.
 */
export async function withStore(
  harness: Harness,
  run: (store: Store, broker: Broker) => Promise<void>,
): Promise<void> {
  const { transport } = harness;
  assert.ok(isStoreTransport(transport));
  const stores: Store[] = [];
  const wrapped = transport.wrapping((store) => {
    stores.push(store);
    return store;
  });
  const broker = await Broker.open({ ...harness, transport: wrapped });
  try {
    const [store] = stores;
    assert.ok(store !== undefined);
    await arrives(run(store, broker), "the end of the case", CASE_PATIENCE);
  } finally {
    await broker[Symbol.asyncDispose]();
  }
}
