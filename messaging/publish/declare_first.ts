import { NotFoundError, ResourceLockedError } from "../../model/errors.ts";
import { type Entity, isHeld } from "../connection/declarations.ts";
import { isLost } from "../connection/retry.ts";
import type { Session } from "../connection/session.ts";
import { Queue } from "../entities/queue.ts";
import type { Call } from "../operation_options.ts";
import type { PublishCall } from "./publish_call.ts";

/**
 * Declares what a message needs, each entity once on a connection: the exchanges in order,
 * then the queues, beside each other where they can be.
 *
 * @param session The session.
 * @param entities The exchanges and queues.
 * @param call The limits.
 */
export async function declareFirst(
  session: Session,
  entities: readonly Entity[],
  call: PublishCall,
): Promise<void> {
  const queues: Queue[] = [];
  for (const entity of entities) {
    if (session.declarations.has(entity)) continue;
    if (entity instanceof Queue) queues.push(entity);
    else await declareWithRetry(session, entity, call);
  }
  await Promise.all(
    queues.map((queue) => declareWithRetry(session, queue, call)),
  );
}

/** Declaring twice is declaring once: what a lost connection left open is done again. */
function declareWithRetry(
  session: Session,
  entity: Entity,
  call: PublishCall,
): Promise<void> {
  return session.retry(call, () => declareOne(session, entity, call), {
    retries: (error) =>
      call.retry && (isLost(error) ||
        // Our own connection of before holds its exclusive queue until the broker
        // has noticed that it is gone: a message that goes there now would be lost with it.
        // And a queue's node that is down comes back.
        ((error instanceof ResourceLockedError ||
          error instanceof NotFoundError) &&
          session.declarations.knows(entity))),
  });
}

/**
 * Declares an entity, unless that was done on this connection.
 *
 * @param session The session.
 * @param entity The exchange or queue.
 * @param call The limits.
 */
export async function declareOne(
  session: Session,
  entity: Entity,
  call: Call,
): Promise<void> {
  const { declarations } = session;
  const { topology } = await session.link(call);
  await topology.run(call, async (channel) => {
    if (declarations.has(entity)) return;
    await declarations.declare(entity, channel, call);
  }, {
    holds: isHeld(entity),
    queues: entity instanceof Queue ? [entity] : undefined,
  });
}
