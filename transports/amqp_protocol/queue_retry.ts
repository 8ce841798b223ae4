/** Quorum queues of RabbitMQ 4.3 that wait by themselves before they hand out a message again. */

import type { FieldTable } from "../../model/field_table.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";

/** How a queue waits. */
export interface QueueRetry {
  /** The first wait, and what each failure adds, ms. */
  readonly min: number;
  /** The longest wait, ms. */
  readonly max: number;
  /** So many failures it takes, and no message is in danger: beyond them the queue would give it up. */
  readonly most: number;
}

/** The kinds of returns for which a queue waits that have those of handlers that failed among them. */
const FAILED: readonly unknown[] = ["failed", "all"];

/**
 * Reads how a queue waits by its arguments.
 *
 * @param declared The arguments.
 * @param usual The delivery limit of a queue that says none.
 * @returns How it waits; `undefined` if it does not.
 */
export function retryOf(
  declared: FieldTable,
  usual: number,
): QueueRetry | undefined {
  const {
    "x-queue-type": type,
    "x-delayed-retry-type": kind,
    "x-delayed-retry-min": min,
    "x-delayed-retry-max": max,
    "x-delivery-limit": limit = usual,
  } = declared;
  if (type !== "quorum" || !FAILED.includes(kind)) return undefined;
  if (typeof min !== "number" || typeof max !== "number") return undefined;
  if (typeof limit !== "number") return undefined;
  const keeps = queueTraits(declared).deadLetterExchange !== undefined;
  // Lost connections count, too: where they would end in nothing half of it is left for them.
  const most = limit < 0 ? Infinity : keeps ? limit : Math.ceil(limit / 2);
  return { min, max, most };
}
