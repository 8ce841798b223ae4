import type { QueueStatus } from "../../model/queue.ts";
import { quote } from "../../model/foreign_text.ts";
import { bindingTo } from "../entities/entities.ts";
import {
  Exchange,
  type ExchangeBinding,
  readBinding,
} from "../entities/exchange.ts";
import { Queue } from "../entities/queue.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type { OperationOptions } from "../operation_options.ts";
import { onTopology } from "./on_topology.ts";
import type { Session } from "./session.ts";
import { withMeant } from "./session_errors.ts";

/** Options of `connection.delete`. */
export interface DeleteEntityOptions extends OperationOptions {
  /** Whether to refuse with `precondition-failed` if something uses it. @default {false} */
  readonly ifUnused?: boolean | undefined;
  /** Whether to refuse with `precondition-failed` if it is a queue with messages. @default {false} */
  readonly ifEmpty?: boolean | undefined;
}

const DELETE: KnownOptions = optionsOf<DeleteEntityOptions>(
  "connection.delete",
  { ifUnused: "boolean", ifEmpty: "boolean", signal: true, timeout: true },
);

/** Counts the ready messages and the consumers of a queue. */
export async function queueStatus(
  session: Session,
  queue: Queue | string,
  options?: OperationOptions,
): Promise<QueueStatus> {
  const name = queueNameIn(session, queue, "queueStatus");
  return await onQueue(
    session,
    name,
    options,
    (channel, call) => channel.checkQueue(name, call),
  );
}

/** Removes the ready messages of a queue; returns how many. */
export async function purgeQueue(
  session: Session,
  queue: Queue | string,
  options?: OperationOptions,
): Promise<number> {
  const name = queueNameIn(session, queue, "purge");
  return await onQueue(
    session,
    name,
    options,
    (channel, call) => channel.purgeQueue(name, call),
  );
}

/** Looks whether a queue or an exchange is there. */
export async function checkEntity(
  session: Session,
  entity: Queue | Exchange | string,
  options?: OperationOptions,
): Promise<void> {
  if (!(entity instanceof Exchange)) {
    return void await queueStatus(session, entity, options);
  }
  await onTopology(
    session,
    options,
    (channel, call) => channel.checkExchange(entity.name, call),
  );
}

/** Deletes a queue or an exchange, which does not come back; returns how many messages went with it. */
export async function deleteEntity(
  session: Session,
  entity: Queue | Exchange | string,
  options: DeleteEntityOptions = {},
): Promise<number> {
  checkKnown(options, DELETE);
  const { ifUnused, ifEmpty, ...limits } = options;
  const { declarations } = session;
  if (entity instanceof Exchange) {
    await onTopology(
      session,
      limits,
      (channel, call) =>
        channel.deleteExchange(entity.name, { ...call, ifUnused }),
    );
    declarations.forgetExchange(entity.name);
    return 0;
  }
  const name = queueNameIn(session, entity, "delete");
  const count = await onTopology(
    session,
    limits,
    (channel, call) =>
      channel.deleteQueue(name, { ...call, ifUnused, ifEmpty }),
  );
  declarations.forgetQueue(name);
  return count;
}

/** Removes a binding, which does not come back. */
export async function unbindEntity(
  session: Session,
  entity: Queue | Exchange | string,
  from: ExchangeBinding,
  options?: OperationOptions,
): Promise<void> {
  const destination = entity instanceof Exchange
    ? { kind: "exchange", name: entity.name } as const
    : { kind: "queue", name: queueNameIn(session, entity, "unbind") } as const;
  const binding = bindingTo(
    destination,
    readBinding(from, `${destination.kind} ${quote(destination.name)}`),
  );
  await onTopology(
    session,
    options,
    (channel, call) => channel.unbind(binding, call),
  );
  session.declarations.forgetBinding(binding);
}

/**
 * Finds the name of a queue, which the broker may have chosen.
 *
 * @param session The session that may have declared it.
 * @param queue The queue, or its name.
 * @param verb The method of the connection, for the error.
 * @returns Its name.
 * @throws {TypeError} If it is neither.
 */
export function queueNameIn(
  { declarations }: Session,
  queue: Queue | string,
  verb: string,
): string {
  if (queue instanceof Queue) {
    return declarations.nameOf(queue) ?? queue.name;
  }
  if (typeof queue === "string" && queue !== "") return queue;
  throw new TypeError(
    `Cannot use ${
      quote(queue)
    } in connection.${verb}: it must be a Queue, or the name of one; an exchange is given as new Exchange(…)`,
  );
}

/** If the queue is not there, adds the name of another to the error that may have been meant. */
async function onQueue<R>(
  session: Session,
  name: string,
  options: OperationOptions | undefined,
  action: Parameters<typeof onTopology<R>>[2],
): Promise<R> {
  try {
    return await onTopology(session, options, action);
  } catch (error) {
    throw withMeant(error, name, session.declarations.queueNames);
  }
}
