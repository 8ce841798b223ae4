import type { Topology } from "./topology.ts";

/**
 * Finds the exchanges that matter to some: those that a message may come to from them, by
 * bindings or as alternate exchanges, and those that lead to them.
 *
 * @param topology The tables.
 * @param exchanges The names to begin with.
 * @param next Names the exchanges that are bound to one. @default {as the tables say}
 * @returns Their names, those to begin with among them.
 *
 * @example A chain of two
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { exchangesAround, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * topology.apply({
 *   type: "bound",
 *   binding: {
 *     source: "amq.topic",
 *     destination: { kind: "exchange", name: "amq.fanout" },
 *     routingKey: "video.#",
 *     arguments: {},
 *   },
 * });
 * const found = exchangesAround(topology, ["amq.fanout"]);
 * assertEquals([...found], ["amq.fanout", "amq.topic"]);
 * ```
 */
export function exchangesAround(
  topology: Topology,
  exchanges: Iterable<string>,
  next: (exchange: string) => Iterable<string> = (exchange) =>
    boundTo(topology, exchange),
): ReadonlySet<string> {
  const found = new Set(exchanges);
  // It grows while it is walked.
  for (const name of found) {
    for (const each of next(name)) found.add(each);
    for (const { source } of topology.bindingsToExchange(name)) {
      found.add(source);
    }
    const alternate = topology.exchange(name)?.declaration
      .arguments["alternate-exchange"];
    if (typeof alternate === "string") found.add(alternate);
  }
  return found;
}

function* boundTo(topology: Topology, exchange: string): Iterable<string> {
  for (const { destination } of topology.bindingsFrom(exchange)) {
    if (destination.kind === "exchange") yield destination.name;
  }
}
