import { UnsupportedError } from "../../model/errors.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";
import type { Topology, TopologyChange } from "../../virtual/topology.ts";

/**
 * Refuses to bind an ordered queue to a fanout exchange whose messages are in no queue: each
 * process holds what it hears, and none knows what the others do with a key.
 *
 * @param changes Planned changes.
 * @param topology The tables before them.
 * @param heard The value of the option `fanout` with which it is so.
 * @throws {UnsupportedError} If one of them is such a binding.
 */
export function refuseHeardOrder(
  changes: readonly TopologyChange[],
  topology: Topology,
  heard: string,
): void {
  const isOrdered = (name: string) =>
    topology.queue(name)?.traits.ordered ??
      changes.some((each) =>
        each.type === "queue-declared" && each.queue.name === name &&
        queueTraits(each.queue.arguments).ordered
      );
  const isFanout = (name: string) =>
    topology.exchange(name)?.declaration.type === "fanout" ||
    changes.some((each) =>
      each.type === "exchange-declared" && each.exchange.name === name &&
      each.exchange.type === "fanout"
    );
  for (const change of changes) {
    if (change.type !== "bound") continue;
    const { source, destination: { kind, name } } = change.binding;
    if (kind !== "queue" || !isOrdered(name) || !isFanout(source)) continue;
    throw new UnsupportedError(
      `Cannot bind the ordered queue "${name}" to the fanout exchange "${source}": with "fanout" "${heard}" its messages are in no queue; use "queue"`,
    );
  }
}
