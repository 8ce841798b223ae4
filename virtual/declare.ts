import type { Binding } from "../model/binding.ts";
import {
  AccessRefusedError,
  NotFoundError,
  PreconditionFailedError,
  ResourceLockedError,
  UnsupportedError,
} from "../model/errors.ts";
import {
  type ExchangeDeclaration,
  isRoutingType,
  ROUTING_TYPES,
} from "../model/exchange.ts";
import type { QueueDeclaration } from "../model/queue.ts";
import { exchangeDifference, queueDifference } from "./equivalence.ts";
import { X_MATCH } from "./headers.ts";
import { checkQueueArguments, show } from "./queue_arguments.ts";
import { Removal } from "./removal.ts";
import type { QueueRecord, Topology, TopologyChange } from "./topology.ts";

/** All changes in order, those that follow from others included; none if nothing is to be done. */
export type TopologyPlan = readonly TopologyChange[];

/**
 * Plans to declare an exchange.
 *
 * @param topology The tables.
 * @param exchange The declaration.
 * @returns The changes; none if an equal one is there.
 * @throws {UnsupportedError} If its type is a plugin's.
 * @throws {PreconditionFailedError} If an unequal one is there, or an argument is bad.
 * @throws {AccessRefusedError} If the name is the broker's own.
 *
 * @example A new exchange, and one that is there
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planDeclareExchange, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * const media = {
 *   name: "media",
 *   type: "topic",
 *   durable: true,
 *   autoDelete: false,
 *   internal: false,
 *   arguments: {},
 * } as const;
 * const plan = planDeclareExchange(topology, media);
 * assertEquals(plan, [{ type: "exchange-declared", exchange: media }]);
 * for (const change of plan) topology.apply(change);
 * assertEquals(planDeclareExchange(topology, media), []);
 * ```
 */
export function planDeclareExchange(
  topology: Topology,
  exchange: ExchangeDeclaration,
): TopologyPlan {
  const { name, type } = exchange;
  refuseDefault(name, "declare");
  if (!isRoutingType(type)) {
    throw new UnsupportedError(
      `Cannot declare exchange "${name}" of type "${type}": plugins' types are RabbitMQ's; this broker has ${
        ROUTING_TYPES.join(", ")
      }`,
    );
  }
  const record = topology.exchange(name);
  if (record !== undefined && !record.foreign) {
    const difference = exchangeDifference(exchange, record.declaration);
    if (difference === undefined) return [];
    throw new PreconditionFailedError(
      `Cannot declare exchange "${name}" ${difference}`,
    );
  }
  if (record === undefined) refuseReserved("exchange", name);
  const alternate = exchange.arguments["alternate-exchange"];
  if (alternate !== undefined && typeof alternate !== "string") {
    throw new PreconditionFailedError(
      `Cannot declare exchange "${name}" with "alternate-exchange" ${
        show(alternate)
      }: it must be a string`,
    );
  }
  return [{ type: "exchange-declared", exchange }];
}

/**
 * Plans to declare a queue.
 *
 * @param topology The tables.
 * @param queue The declaration; its name is chosen already.
 * @param owner The owner that declares it, and has it if it is exclusive.
 * @param options Whether the name was chosen for it: then it may begin with `amq.`.
 * @returns The changes; none if an equal one is there.
 * @throws {PreconditionFailedError} If an unequal one is there, or an argument is bad.
 * @throws {ResourceLockedError} If it is exclusive to another owner, or one of the two is exclusive and the other is not.
 * @throws {AccessRefusedError} If the name is the broker's own.
 *
 * @example A new queue
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planDeclareQueue, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * const queue = {
 *   name: "orders",
 *   durable: true,
 *   exclusive: false,
 *   autoDelete: false,
 *   arguments: {},
 * };
 * const plan = planDeclareQueue(topology, queue, "me");
 * for (const change of plan) topology.apply(change);
 * assertEquals(topology.queue("orders")?.owner, undefined);
 * ```
 */
export function planDeclareQueue(
  topology: Topology,
  queue: QueueDeclaration,
  owner: string,
  options: { readonly serverNamed?: boolean | undefined } = {},
): TopologyPlan {
  const { name } = queue;
  if (!options.serverNamed) refuseReserved("queue", name);
  const record = topology.queue(name);
  if (record !== undefined && !record.foreign) {
    requireOwn("declare", record, owner);
    requireSameExclusive(queue, record.declaration);
    const difference = queueDifference(queue, record.declaration);
    if (difference === undefined) return [];
    throw new PreconditionFailedError(
      `Cannot declare queue "${name}" ${difference}`,
    );
  }
  checkQueueArguments(name, queue.arguments);
  return [{
    type: "queue-declared",
    queue,
    owner: queue.exclusive ? owner : undefined,
  }];
}

/**
 * Plans to add a binding.
 *
 * @param topology The tables.
 * @param binding The binding.
 * @param owner The owner that adds it.
 * @returns The changes; none if it is there.
 * @throws {NotFoundError} If one of its ends is not there.
 * @throws {AccessRefusedError} If one of its ends is the default exchange.
 * @throws {ResourceLockedError} If the queue is exclusive to another owner.
 * @throws {PreconditionFailedError} If the arguments are bad.
 *
 * @example A queue to a topic exchange
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { foreignQueue, planBind, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * topology.apply(foreignQueue("orders"));
 * const binding = {
 *   source: "amq.topic",
 *   destination: { kind: "queue", name: "orders" },
 *   routingKey: "order.#",
 *   arguments: {},
 * } as const;
 * assertEquals(planBind(topology, binding, "me"), [{ type: "bound", binding }]);
 * ```
 */
export function planBind(
  topology: Topology,
  binding: Binding,
  owner: string,
): TopologyPlan {
  const source = requireEnds(topology, binding, owner, "bind");
  const match = binding.arguments["x-match"];
  if (
    source.type === "headers" && match !== undefined &&
    !(typeof match === "string" && X_MATCH.includes(match))
  ) {
    throw new PreconditionFailedError(
      `Cannot bind to exchange "${source.name}" with "x-match" ${
        show(match)
      }: it must be ${X_MATCH.join(", ")}`,
    );
  }
  return topology.findBinding(binding) === undefined
    ? [{ type: "bound", binding }]
    : [];
}

/**
 * Plans to remove a binding.
 *
 * @param topology The tables.
 * @param binding The binding.
 * @param owner The owner that removes it.
 * @returns The changes; none if it is not there.
 * @throws {AccessRefusedError} If one of its ends is the default exchange.
 * @throws {ResourceLockedError} If the queue is exclusive to another owner.
 *
 * @example A binding that is not there
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planUnbind, Topology } from "@dashi/mq/virtual";
 *
 * const binding = {
 *   source: "amq.topic",
 *   destination: { kind: "queue", name: "orders" },
 *   routingKey: "order.#",
 *   arguments: {},
 * } as const;
 * assertEquals(planUnbind(new Topology(), binding, "me"), []);
 * ```
 */
export function planUnbind(
  topology: Topology,
  binding: Binding,
  owner: string,
): TopologyPlan {
  const { source, destination } = binding;
  refuseDefault(source, "unbind from");
  const known = topology.findBinding(binding);
  if (known === undefined) return [];
  if (destination.kind === "queue") {
    const record = topology.queue(destination.name);
    if (record !== undefined) requireOwn("unbind", record, owner);
  }
  return new Removal(topology).unbind(known).changes;
}

/**
 * Plans to delete an exchange, and its bindings with it.
 *
 * @param topology The tables.
 * @param exchange Its name, and whether it must be without bindings.
 * @returns The changes; none if it is not there.
 * @throws {PreconditionFailedError} If it is in use and must not be.
 * @throws {AccessRefusedError} If it is the broker's own.
 *
 * @example An exchange that is not there
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planDeleteExchange, Topology } from "@dashi/mq/virtual";
 *
 * const exchange = { name: "media", ifUnused: false };
 * assertEquals(planDeleteExchange(new Topology(), exchange), []);
 * ```
 */
export function planDeleteExchange(
  topology: Topology,
  exchange: { readonly name: string; readonly ifUnused: boolean },
): TopologyPlan {
  const { name, ifUnused } = exchange;
  refuseDefault(name, "delete");
  refuseReserved("exchange", name, "delete");
  if (topology.exchange(name) === undefined) return [];
  if (ifUnused && [...topology.bindingsFrom(name)].length > 0) {
    throw new PreconditionFailedError(
      `Cannot delete exchange "${name}" if unused: it has bindings`,
    );
  }
  return new Removal(topology).exchange(name).changes;
}

/**
 * Plans to delete a queue, and its bindings and consumers with it.
 *
 * @param topology The tables.
 * @param queue Its name, and whether it must be without consumers or messages; the latter is for the store to see.
 * @param owner The owner that deletes it.
 * @returns The changes; none if it is not there.
 * @throws {PreconditionFailedError} If it has consumers and must not.
 * @throws {ResourceLockedError} If it is exclusive to another owner.
 *
 * @example A queue without bindings
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { foreignQueue, planDeleteQueue, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * topology.apply(foreignQueue("orders"));
 * const queue = { name: "orders", ifUnused: true, ifEmpty: true };
 * assertEquals(planDeleteQueue(topology, queue, "me"), [
 *   { type: "queue-deleted", name: "orders", ifEmpty: true },
 * ]);
 * ```
 */
export function planDeleteQueue(
  topology: Topology,
  queue: {
    readonly name: string;
    readonly ifUnused: boolean;
    readonly ifEmpty: boolean;
  },
  owner: string,
): TopologyPlan {
  const { name, ifUnused, ifEmpty } = queue;
  const record = topology.queue(name);
  if (record === undefined) return [];
  requireOwn("delete", record, owner);
  if (ifUnused && record.consumers.length > 0) {
    throw new PreconditionFailedError(
      `Cannot delete queue "${name}" if unused: it has consumers`,
    );
  }
  return new Removal(topology).queue(name, ifEmpty).changes;
}

/**
 * Plans what happens when an owner goes: its exclusive queues go, and its
 * consumers.
 *
 * @param topology The tables.
 * @param owner The owner that is gone.
 * @returns The changes.
 *
 * @example An exclusive queue goes with its owner
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planDeclareQueue, planOwnerGone, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * const mine = {
 *   name: "mine",
 *   durable: true,
 *   exclusive: true,
 *   autoDelete: false,
 *   arguments: {},
 * };
 * for (const change of planDeclareQueue(topology, mine, "me")) {
 *   topology.apply(change);
 * }
 * assertEquals(planOwnerGone(topology, "me").map(({ type }) => type), [
 *   "queue-deleted",
 * ]);
 * ```
 */
export function planOwnerGone(
  topology: Topology,
  owner: string,
): TopologyPlan {
  const removal = new Removal(topology);
  for (const name of topology.queuesOf(owner)) {
    const record = topology.queue(name);
    if (record === undefined) continue;
    if (record.owner === owner) removal.queue(name, false);
    else removal.consumers(record, (each) => each.owner === owner);
  }
  return removal.changes;
}

/**
 * Looks up an exchange that must be there.
 *
 * @param topology The tables.
 * @param name Its name; the default exchange is always there.
 * @throws {NotFoundError} If it is not.
 *
 * @example One that is there, and one that is not
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { checkExchange, Topology } from "@dashi/mq/virtual";
 *
 * checkExchange(new Topology(), "amq.topic");
 * assertThrows(() => checkExchange(new Topology(), "media"));
 * ```
 */
export function checkExchange(topology: Topology, name: string): void {
  if (name === "" || topology.exchange(name) !== undefined) return;
  throw new NotFoundError(
    `Cannot check exchange "${name}": there is no such exchange`,
  );
}

/**
 * Looks up a queue that must be there, and open to this owner.
 *
 * @param topology The tables.
 * @param name Its name.
 * @param owner The owner that looks.
 * @param action The action, for the error.
 * @returns Its record.
 * @throws {NotFoundError} If it is not there.
 * @throws {ResourceLockedError} If it is exclusive to another owner.
 *
 * @example A queue that is not there
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { checkQueue, Topology } from "@dashi/mq/virtual";
 *
 * assertThrows(() => checkQueue(new Topology(), "orders", "me"));
 * ```
 */
export function checkQueue(
  topology: Topology,
  name: string,
  owner: string,
  action = "check",
): QueueRecord {
  const record = topology.queue(name);
  if (record === undefined) {
    throw new NotFoundError(
      `Cannot ${action} queue "${name}": there is no such queue`,
    );
  }
  requireOwn(action, record, owner);
  return record;
}

function requireEnds(
  topology: Topology,
  binding: Binding,
  owner: string,
  action: string,
): ExchangeDeclaration {
  const { source, destination } = binding;
  refuseDefault(source, `${action} to`);
  const what = `${action} ${destination.kind} "${destination.name}"`;
  const record = topology.exchange(source);
  if (record === undefined) {
    throw new NotFoundError(
      `Cannot ${what}: there is no exchange "${source}" to take messages from`,
    );
  }
  if (destination.kind === "queue") {
    checkQueue(topology, destination.name, owner, action);
  } else {
    refuseDefault(destination.name, action);
    if (topology.exchange(destination.name) === undefined) {
      throw new NotFoundError(`Cannot ${what}: there is no such exchange`);
    }
  }
  return record.declaration;
}

function requireOwn(action: string, record: QueueRecord, owner: string): void {
  if (record.owner === undefined || record.owner === owner) return;
  throw new ResourceLockedError(
    `Cannot ${action} queue "${record.declaration.name}": it is exclusive to another connection`,
  );
}

/** RabbitMQ takes this difference for a lock, unlike all others. */
function requireSameExclusive(
  wanted: QueueDeclaration,
  found: QueueDeclaration,
): void {
  if (wanted.exclusive === found.exclusive) return;
  throw new ResourceLockedError(
    wanted.exclusive
      ? `Cannot declare queue "${wanted.name}" as exclusive: the broker has it as shared`
      : `Cannot declare queue "${wanted.name}" as shared: the broker has it as exclusive`,
  );
}

function refuseDefault(name: string, action: string): void {
  if (name !== "") return;
  throw new AccessRefusedError(
    `Cannot ${action} the default exchange: it is always there, and leads to every queue by its name`,
  );
}

function refuseReserved(
  kind: "exchange" | "queue",
  name: string,
  action = "declare",
): void {
  if (!name.startsWith("amq.")) return;
  throw new AccessRefusedError(
    `Cannot ${action} ${kind} "${name}": names that begin with "amq." are the broker's own`,
  );
}
