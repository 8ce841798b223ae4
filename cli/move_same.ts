import { type Connection, Queue } from "../mod.ts";
import type { Plan } from "./move_plan.ts";
import { UsageError } from "./terminal.ts";

/**
 * Refuses to move a queue into itself, which would never end.
 *
 * @param plans The queues, and where they go.
 * @param sameBroker Whether the target is the source's broker.
 * @throws {UsageError} If a queue would be moved into itself.
 */
export function requireOther(
  plans: readonly Plan[],
  sameBroker: boolean,
): void {
  const same = sameBroker && plans.find(({ from, to }) => from.name === to);
  if (!same) return;
  throw new UsageError(
    `"${same.to}" would be moved into itself: give --to NAME, or another broker's URL in DASHI_TO_URL`,
  );
}

/**
 * Says whether two connections lead to one broker, as far as it can be known. It may have
 * several names: with `probes` a queue is declared at the target, or a message put into it
 * where the broker does not know its queues; it is looked for at the source, and deleted.
 *
 * @param source The connection to the source.
 * @param target The connection to the target.
 * @param probes Whether it may declare a queue.
 * @returns Whether they do.
 */
export async function isSameBroker(
  source: Connection,
  target: Connection,
  probes: boolean,
): Promise<boolean> {
  if (source.info().transport !== target.info().transport) return false;
  if (source.asUri() === target.asUri()) return true;
  if (!probes) return false;
  const queue = new Queue(`dashi-move-${crypto.randomUUID()}`);
  try {
    await target.declare(queue);
    if (!source.capabilities.has("known-queues")) await target.send(queue, "");
  } catch {
    return false; // as where its user may declare nothing
  }
  try {
    return await source.queueStatus(queue.name).then(() => true, () => false);
  } finally {
    await target.delete(queue.name);
  }
}
