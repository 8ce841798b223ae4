import type { Capability } from "../transport.ts";

const CAPABILITIES: readonly Capability[] = [
  "dead-letter",
  "dedupe",
  "exchange-to-exchange",
  "exclusive",
  "known-queues",
  "lease",
  "message-ttl",
  "persistence",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
];

/** The capabilities of a server; one that delays has schedules of its own. */
export function capabilitiesOf(delays: boolean): ReadonlySet<Capability> {
  return new Set(delays ? [...CAPABILITIES, "delay"] : CAPABILITIES);
}
