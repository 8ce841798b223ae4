import type { Mirror } from "../declared/mirror.ts";
import { listens } from "../declared/writes.ts";

/**
 * Makes the headers of an announcement for consumers of 0.1.0, for whom it has expired:
 * they would dead-letter it, except to queues where it has been, by RabbitMQ's rule against
 * cycles. So it says that it has been in each to which a queue of theirs dead-letters. It
 * is worked out once for each state of the tables.
 */
export class Predecessors {
  readonly #mirror: Mirror;
  readonly #headers = new Map<string, string>();
  #version = "";

  /** Makes one over the tables as they are known. */
  constructor(mirror: Mirror) {
    this.#mirror = mirror;
  }

  /**
   * Looks up what announcements on an exchange say.
   *
   * @returns The header as JSON, or `""` where nobody needs it.
   */
  headerFor(exchange: string): string {
    if (this.#version !== this.#mirror.routes) {
      this.#headers.clear();
      this.#version = this.#mirror.routes;
    }
    let header = this.#headers.get(exchange);
    if (header === undefined) {
      header = headerBy(this.#mirror, exchange);
      this.#headers.set(exchange, header);
    }
    return header;
  }
}

function headerBy(mirror: Mirror, exchange: string): string {
  const { topology } = mirror;
  const targets = new Set<string>();
  for (const { destination } of topology.bindingsFrom(exchange)) {
    if (destination.kind !== "queue") continue;
    const record = topology.queue(destination.name);
    if (record === undefined || !record.consumers.some(listens)) continue;
    const { deadLetterExchange: next, deadLetterRoutingKey: key } =
      record.traits;
    if (next === undefined) continue;
    if (next === "" && key !== undefined) targets.add(key);
    for (const queue of mirror.queuesBehind(next)) targets.add(queue);
  }
  if (targets.size === 0) return "";
  const deaths = [...targets].map((queue) =>
    `{"count": 1, "queue": ${JSON.stringify(queue)}, "reason": "expired"}`
  );
  return `"x-death": [${deaths.join(", ")}]`;
}
