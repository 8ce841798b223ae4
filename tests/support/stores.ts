/** Stores over the memory store that differ from it here and there. */

import { assert } from "@std/assert";
import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { turn } from "../../async/turn.ts";
import { MemoryBroker } from "../../transports/memory/broker.ts";
import { MemoryStore } from "../../transports/memory/store.ts";
import {
  type BroadcastStore,
  type Channel,
  type CloseReason,
  createStoreTransport,
  type MessageStore,
  type PresenceStore,
  type Publishing,
  type QuarantineStore,
  type Store,
  type StoreLimits,
  type TopologyStore,
  type Transport,
  type TransportConnection,
} from "../../transports/store/mod.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { parseUrl } from "../../url/mod.ts";
import { TestClock } from "../../testing/clock.ts";

/** The changes of a store over the memory store. */
export interface Changes {
  readonly limits?: StoreLimits;
  readonly closed?: Promise<CloseReason>;
  readonly messages?: Partial<MessageStore>;
  readonly topology?: Partial<TopologyStore>;
  readonly presence?: PresenceStore;
  readonly broadcasts?: BroadcastStore;
  readonly quarantine?: Partial<QuarantineStore>;
}

/** A store whose verbs a test may exchange while it is open. */
export interface ChangedStore extends Store {
  readonly topology: TopologyStore;
  quarantine: QuarantineStore | undefined;
}

/** A memory store, changed here and there. */
export function changed(inner: MemoryStore, changes: Changes): ChangedStore {
  const { messages, topology, quarantine } = inner;
  return {
    limits: inner.limits,
    capabilities: inner.capabilities,
    closed: inner.closed,
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    ...changes,
    messages: {
      count: messages.count.bind(messages),
      purge: messages.purge.bind(messages),
      put: messages.put.bind(messages),
      reserve: messages.reserve.bind(messages),
      remove: messages.remove.bind(messages),
      release: messages.release.bind(messages),
      ...changes.messages,
    },
    topology: { ...topology, ...changes.topology },
    quarantine: { ...quarantine, ...changes.quarantine },
  };
}

/** One queue and two messages a call, and no more than is wanted, as on the narrowest of brokers. */
export function narrowTransport(): Transport {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  return createStoreTransport({
    name: "narrow",
    open: (_, options) => {
      const inner = new MemoryStore(broker, options);
      return Promise.resolve(changed(inner, {
        limits: {
          ...inner.limits,
          reserveCount: 2,
          reserveQueues: 1,
          reserveWait: 50,
          countsReserves: true,
        },
        messages: {
          async reserve(wants, options) {
            assert(wants.length === 1, `${wants.length} queues in one call`);
            return await inner.messages.reserve(wants, options);
          },
        },
      }));
    },
  });
}

/** A connection over a store, and the parts that a test uses of it. */
export interface Opened {
  readonly clock: TestClock;
  readonly connection: TransportConnection;
  readonly channel: Channel;
  readonly store: ChangedStore;
}

/** Opens a channel on one. */
export async function open(
  changes: (inner: MemoryStore) => Changes,
  clock: TestClock = new TestClock(),
  broker: MemoryBroker = new MemoryBroker(clock),
  owner = "me",
): Promise<Opened> {
  let store: ChangedStore | undefined;
  const transport = createStoreTransport({
    name: "changed",
    open: () => {
      const inner = new MemoryStore(broker, { clock });
      store = changed(inner, changes(inner));
      return Promise.resolve(store);
    },
  });
  const connection = await transport.connect(parseUrl("changed://"), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 1000,
    owner,
    clock,
  });
  assert(store !== undefined);
  const channel = await connection.openChannel();
  return { clock, connection, channel, store };
}

/** A queue like any other. */
export const QUEUE: QueueDeclaration = {
  name: "q",
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: {},
};

/** Makes a message. */
export const message = (exchange: string, routingKey: string): Publishing => ({
  exchange,
  routingKey,
  mandatory: false,
  delay: 0,
  properties: {},
  body: new Uint8Array(1),
});

/** Lets what was begun go on for as many turns as it needs. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

/** Ends a test in which something is not there. */
export function fail(): never {
  throw new Error("there is no tag");
}
