import { type Queue, queueName } from "../messaging/entities/queue.ts";
import type { MiddlewareHost } from "../messaging/mod.ts";
import type { Attributes } from "./api_client.ts";

/** How long a queue's depth is waited for, ms: a collection of metrics has its own limit. */
const DEPTH_PATIENCE = 5000;

/**
 * Asks how many messages are ready in queues; those that do not answer are left out.
 *
 * @param queues The queues.
 * @param host The connection.
 * @param attributesOf Describes a queue, by its name.
 * @returns The depth of each.
 */
export async function depthsOf(
  queues: readonly (Queue | string)[],
  host: MiddlewareHost,
  attributesOf: (queue: string) => Attributes,
): Promise<{ attributes: Attributes; depth: number }[]> {
  const asked = await Promise.allSettled(
    queues.map((each) =>
      host.queueStatus(queueName(each), { timeout: DEPTH_PATIENCE })
    ),
  );
  return asked.flatMap((each) =>
    each.status === "rejected" ? [] : [{
      attributes: attributesOf(each.value.name),
      depth: each.value.messageCount,
    }]
  );
}
