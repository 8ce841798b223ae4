import type { Capability } from "../transport.ts";
import type { RedisOptions } from "./options.ts";

const CAPABILITIES: readonly Capability[] = [
  "dead-letter",
  "dedupe",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "key-fairness",
  "key-order",
  "known-queues",
  "lease",
  "length-limit",
  "message-ttl",
  "persistence",
  "priority",
  "queue-ttl",
  "shared-topology",
];

/**
 * Says what a connection can do.
 *
 * @param options Its options.
 * @returns The capabilities: `queued-fanout` unless fanout is by PUB/SUB alone.
 */
export function capabilitiesOf(
  { fanout }: Pick<RedisOptions, "fanout">,
): ReadonlySet<Capability> {
  return new Set<Capability>(
    fanout === "queue" ? [...CAPABILITIES, "queued-fanout"] : CAPABILITIES,
  );
}
