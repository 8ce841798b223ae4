/** A memory broker whose connections can be lost: what a restart is to those who use it. */

import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { ConnectionError } from "../../model/errors.ts";
import { MemoryBroker } from "../../transports/memory/broker.ts";
import { MemoryStore } from "../../transports/memory/store.ts";
import {
  type Capability,
  type CloseReason,
  createStoreTransport,
  type Store,
  type Transport,
} from "../../transports/store/mod.ts";

/** A broker that can be restarted: its queues and messages stay, its connections do not. */
export interface Restartable {
  readonly transport: Transport;
  restart(): Promise<void>;
}

/** The capabilities of a broker that keeps its messages: all of them. */
export const CAPABILITIES: ReadonlySet<Capability> = new Set<Capability>([
  ...new MemoryStore(new MemoryBroker(SYSTEM_CLOCK), { clock: SYSTEM_CLOCK })
    .capabilities,
  "persistence",
]);

/** Makes one. */
export function restartable(): Restartable {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const open = new Set<() => Promise<void>>();
  const transport = createStoreTransport({
    name: "restartable",
    open: (_, options) => {
      const inner = new MemoryStore(broker, options);
      const { store, lose } = losable(inner, () => open.delete(lose));
      open.add(lose);
      return Promise.resolve(store);
    },
  });
  return {
    transport,
    async restart() {
      const all = [...open];
      open.clear();
      await Promise.all(all.map((lose) => lose()));
    },
  };
}

function losable(
  inner: MemoryStore,
  onEnd: () => void,
): { readonly store: Store; readonly lose: () => Promise<void> } {
  const closed = Promise.withResolvers<CloseReason>();
  const cut = Promise.withResolvers<never>();
  cut.promise.catch(() => {}); // told to whoever calls
  const { messages, topology, rates } = inner;
  let isLost = false;
  /** Its answer, unless the connection is lost before. */
  const call = <T>(begin: () => Promise<T>): Promise<T> =>
    isLost ? cut.promise : Promise.race([begin(), cut.promise]);
  const store: Store = {
    limits: inner.limits,
    capabilities: CAPABILITIES,
    closed: closed.promise,
    messages: {
      count: (queue) => call(() => messages.count(queue)),
      purge: (queue) => call(() => messages.purge(queue)),
      put: (items, options) => call(() => messages.put(items, options)),
      reserve: (wants, options) => call(() => messages.reserve(wants, options)),
      remove: (reservations) => call(() => messages.remove(reservations)),
      release: (reservations) => call(() => messages.release(reservations)),
    },
    topology: {
      read: (of) => call(() => topology.read(of)),
      apply: (changes, version) => call(() => topology.apply(changes, version)),
    },
    rates: { admit: (...given) => call(() => rates.admit(...given)) },
    async [Symbol.asyncDispose]() {
      onEnd();
      await inner[Symbol.asyncDispose]();
      closed.resolve({ type: "closed" });
    },
  };
  const lose = async () => {
    isLost = true;
    const error = new ConnectionError("The connection was lost: a restart", {
      code: "connection-lost",
    });
    cut.reject(error);
    closed.resolve({ type: "lost", error });
    await inner[Symbol.asyncDispose]();
  };
  return { store, lose };
}
