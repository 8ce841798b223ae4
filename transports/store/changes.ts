/** What every store asks of changes of its tables. */

import type { Topology, TopologyChange } from "../../virtual/topology.ts";

/** Says whether a change is a consumer that comes or goes: no route depends on it. */
export function isOfConsumer({ type }: TopologyChange): boolean {
  return type === "consumer-added" || type === "consumer-removed";
}

/**
 * Says whether one of the queues that go only if they are empty is not.
 *
 * @param changes The changes that were planned.
 * @param count Counts the messages of a queue.
 * @returns Whether the changes must not be made.
 */
export async function isNotEmpty(
  changes: readonly TopologyChange[],
  count: (queue: string) => Promise<number | undefined>,
): Promise<boolean> {
  for (const change of changes) {
    if (change.type !== "queue-deleted" || !change.ifEmpty) continue;
    if ((await count(change.name) ?? 0) > 0) return true;
  }
  return false;
}

/**
 * Lists the consumers that an earlier connection of an owner left in the tables, as changes
 * by which they go: its session consumes again by itself.
 *
 * @param topology The tables.
 * @param owner The owner.
 * @returns The changes.
 */
export function consumersLeftBy(
  topology: Topology,
  owner: string,
): readonly TopologyChange[] {
  const changes: TopologyChange[] = [];
  for (const queue of topology.queuesOf(owner)) {
    for (const consumer of topology.queue(queue)?.consumers ?? []) {
      if (consumer.owner !== owner) continue;
      changes.push({ type: "consumer-removed", queue, consumer });
    }
  }
  return changes;
}
