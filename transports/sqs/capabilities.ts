import type { Capability } from "../transport.ts";
import type { SqsSettings } from "./options.ts";

/**
 * Says what SQS can do.
 *
 * @param settings Whether fanout is SNS's.
 * @returns The capabilities.
 */
export function capabilitiesOf(settings: SqsSettings): ReadonlySet<Capability> {
  const capabilities: Capability[] = [
    "dead-letter",
    "delay",
    "known-queues",
    "lease",
    "persistence",
    "queued-fanout",
  ];
  // A queue that hears two topics would be given a message of both twice.
  if (!settings.supportsFanout) capabilities.push("exchange-to-exchange");
  return new Set(capabilities);
}
