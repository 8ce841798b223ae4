import type { CallOptions } from "../../model/call_options.ts";
import { PreconditionFailedError } from "../../model/errors.ts";
import type {
  ConsumerRecord,
  Topology,
  TopologyChange,
} from "../../virtual/topology.ts";
import type { Store, TopologyKey } from "./store.ts";

/** Decides which changes lead from a topology to what is wanted, or throws why it can not be had. */
export type Plan = (topology: Topology) => readonly TopologyChange[];

/**
 * Reads, plans and applies, and does so again if another process was faster.
 *
 * @param store The tables.
 * @param key The part of them that the plan looks at.
 * @param plan Decides.
 * @param options The call's limits, kept by the store's own calls.
 * @returns How many messages went with deleted queues.
 * @throws {PreconditionFailedError} If a queue should have been empty and is not.
 */
export async function change(
  store: Store,
  key: TopologyKey,
  plan: Plan,
  options?: CallOptions,
): Promise<number> {
  for (;;) {
    options?.signal?.throwIfAborted();
    const view = await store.readTopology(key, options);
    const changes = plan(view.topology);
    if (changes.length === 0) return 0;
    const result = await store.applyChanges(changes, view.version, options);
    switch (result.type) {
      case "applied":
        return result.messageCount;
      case "not-empty":
        throw new PreconditionFailedError(
          `Cannot delete queue "${key.name}" if empty: it has messages`,
        );
      case "stale":
        continue;
    }
  }
}

/**
 * Plans to consume from a queue that is not in the tables, where those do not know all
 * queues: it is added as somebody else's.
 *
 * @param name The queue's name.
 * @param consumer The consumer.
 * @returns The changes.
 */
export function planForeignConsume(
  name: string,
  consumer: ConsumerRecord,
): readonly TopologyChange[] {
  const queue = {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
  return [
    { type: "queue-declared", queue, owner: undefined, foreign: true },
    { type: "consumer-added", queue: name, consumer },
  ];
}
