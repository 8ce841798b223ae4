import { Line } from "../../async/line.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { Topology, type TopologyChange } from "../../virtual/topology.ts";
import { inSteps } from "../../async/steps.ts";
import { isNotEmpty, isOfConsumer } from "./changes.ts";
import type {
  ChangeResult,
  Store,
  TopologyStore,
  TopologyView,
} from "./store.ts";

/** The hooks that carry a change of {@linkcode LocalTopology} out at the broker. */
export interface LocalTopologyHooks {
  /** Counts the ready messages of a queue, which may have to be empty to be deleted. */
  count(queue: string, options?: CallOptions): Promise<number | undefined>;
  /**
   * Carries a change out before the tables have it; its error is reported, and
   * the tables stay as they are. Returns how many messages went with it.
   */
  prepare?(
    change: TopologyChange,
    all: readonly TopologyChange[],
    options?: CallOptions,
  ): Promise<number | void>;
  /** Deletes the messages of a queue that the tables have no more; returns how many there were. */
  deleteQueue?(name: string, options?: CallOptions): Promise<number>;
}

/**
 * The tables of exchanges, queues and bindings for brokers that have no place for them:
 * those who share it know what was declared, and nobody else. Changes are made one
 * after the other.
 */
export class LocalTopology implements TopologyStore {
  /** The tables. Changed by `apply` and `change` alone. */
  readonly topology: Topology = new Topology();
  readonly #hooks: LocalTopologyHooks;
  readonly #changing = new Line();
  #changes = 0;
  #version = "0";
  #routes = "0";

  /** Makes tables in which nothing was declared. */
  constructor(hooks: LocalTopologyHooks) {
    this.#hooks = hooks;
  }

  /** A mark that changes whenever the tables do. */
  get version(): string {
    return this.#version;
  }

  /** A mark that changes whenever a route may. */
  get routes(): string {
    return this.#routes;
  }

  /** Reads the tables. */
  read(): Promise<TopologyView> {
    const { topology, version, routes } = this;
    return Promise.resolve({ topology, version, routes });
  }

  /** Makes planned changes, at the broker too. */
  apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    return this.#changing.enter(() => this.#apply(changes, version, options));
  }

  /** Notes a change that the broker has made already. */
  change(change: TopologyChange): void {
    this.topology.apply(change);
    this.#version = String(++this.#changes);
    if (!isOfConsumer(change)) this.#routes = this.#version;
  }

  async #apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    if (version !== this.#version) return { type: "stale" };
    const count = (queue: string) => this.#hooks.count(queue, options);
    if (await isNotEmpty(changes, count)) return { type: "not-empty" };
    // An answer of the broker that came meanwhile may have changed the tables.
    if (version !== this.#version) return { type: "stale" };
    const hooks = this.#hooks;
    let messageCount = 0;
    await inSteps(async (step) => {
      for (const change of changes) {
        const preparing = hooks.prepare?.(change, changes, options);
        messageCount += await (preparing && step(preparing)) ?? 0;
        this.change(change);
        if (change.type !== "queue-deleted") continue;
        const deleting = hooks.deleteQueue?.(change.name, options);
        messageCount += await (deleting && step(deleting)) ?? 0;
      }
    });
    return { type: "applied", messageCount };
  }
}

/** A store that has tables: its own, or the library's. */
export interface StoreWithTopology extends Store {
  readonly topology: TopologyStore;
}

/**
 * Gives a store tables, unless it has them.
 *
 * @param store The store.
 * @returns The store, or its parts and the library's tables, which nobody else sees.
 */
export function withTopology(store: Store): StoreWithTopology {
  if (hasTopology(store)) return store;
  const { messages, queues } = store;
  const topology = new LocalTopology({
    count: messages.count.bind(messages),
    prepare: async (change, _, options) => {
      if (change.type !== "queue-declared") return;
      await queues?.create(change.queue, options);
    },
    deleteQueue: async (name, options) =>
      await queues?.delete(name, options) ?? 0,
  });
  return {
    limits: store.limits,
    capabilities: store.capabilities,
    closed: store.closed,
    messages,
    notifier: store.notifier,
    topology,
    presence: store.presence,
    broadcasts: store.broadcasts,
    quarantine: store.quarantine,
    rates: store.rates,
    inspection: store.inspection,
    transactions: store.transactions,
    outbox: store.outbox,
    serverInfo: async (options) => await store.serverInfo?.(options),
    peer: () => store.peer?.(),
    queueUrl: (queue) => store.queueUrl?.(queue),
    native: () => store.native?.(),
    destroy: () => store.destroy?.(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

function hasTopology(store: Store): store is StoreWithTopology {
  return store.topology !== undefined;
}
