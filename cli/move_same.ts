import { type Connection, NotFoundError } from "../mod.ts";
import { lineOf } from "./advice.ts";
import type { Context } from "./context.ts";
import type { Plan } from "./move_plan.ts";
import { ownQueue, tellLeft } from "./own_queues.ts";
import { UsageError } from "./terminal.ts";

/** How long the queue stays by which a broker is known again, ms, if the process is killed. */
const EXPIRES = 60_000;

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
 * @param context The context of the source.
 * @param target The connection to the target.
 * @param probes Whether it may declare a queue.
 * @returns Whether they do; `undefined` where that cannot be found out, as by a user who may declare nothing.
 */
export async function isSameBroker(
  { connection: source, terminal }: Context,
  target: Connection,
  probes: boolean,
): Promise<boolean | undefined> {
  if (source.info().transport !== target.info().transport) return false;
  if (source.asUri() === target.asUri()) return true;
  if (!probes) return false;
  await tellLeft(terminal, target);
  const queue = ownQueue(target, "move", EXPIRES);
  let isDeclared = false;
  try {
    await target.declare(queue);
    isDeclared = true;
    if (!source.capabilities.has("known-queues")) await target.send(queue, "");
    return await isThere(source, queue.name);
  } catch (error) {
    terminal.tell(
      `dashi: whether both URLs lead to one broker cannot be found out, so no more is moved than is there now: ${
        lineOf(error)
      }`,
    );
    return undefined;
  } finally {
    if (isDeclared) await target.delete(queue.name);
  }
}

async function isThere(source: Connection, queue: string): Promise<boolean> {
  try {
    await source.queueStatus(queue);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}
