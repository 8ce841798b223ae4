import { UnsupportedError } from "../../model/errors.ts";
import type { FieldValue } from "../../model/field_table.ts";
import type { Publishing } from "../../model/message.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { show } from "../../virtual/queue_arguments.ts";
import type { Capability } from "../transport.ts";
import type { Store } from "./store.ts";

/** A capability, the name of the part that it rests on, and how that is found. */
type OfPart<S> = readonly [Capability, string, (store: S) => unknown];

/** The optional parts that a capability comes with. */
type OptionalParts = Pick<
  Store,
  "quarantine" | "rates" | "inspection" | "messages" | "transactions"
>;

/** The capabilities that are those of a part. */
const OF_PARTS: readonly OfPart<OptionalParts>[] = [
  ["quarantine", "quarantine", ({ quarantine }) => quarantine],
  ["shared-rate", "rates", ({ rates }) => rates],
  ["inspect", "inspection", ({ inspection }) => inspection],
  ["transaction", "transactions", ({ transactions }) => transactions],
  [
    "cancel-delayed",
    "messages.changeDelayed",
    ({ messages }) => messages.changeDelayed,
  ],
];

/** All that rest on a part: those of the topology a store names itself. */
const ON_PARTS: readonly OfPart<Store>[] = [
  ["known-queues", "topology", ({ topology }) => topology],
  ["shared-topology", "topology", ({ topology }) => topology],
  ...OF_PARTS,
];

/**
 * Returns the capabilities of a store: those that it declares, and those of its optional parts.
 *
 * @param store The store.
 * @returns Its capabilities.
 */
export function capabilitiesOf(
  store: OptionalParts & Pick<Store, "capabilities">,
): ReadonlySet<Capability> {
  const all = new Set<Capability>(store.capabilities);
  for (const [capability, , find] of OF_PARTS) {
    if (find(store) !== undefined) all.add(capability);
  }
  return all;
}

/**
 * Refuses a store that promises what it has no part for.
 *
 * @param name The transport's name, for the error.
 * @param store The store.
 * @throws {TypeError} If it names such a capability: it says what to add.
 */
export function checkParts(name: string, store: Store): void {
  for (const [capability, part, find] of ON_PARTS) {
    if (!store.capabilities.has(capability) || find(store) !== undefined) {
      continue;
    }
    throw new TypeError(
      `Cannot use the store of the transport "${name}": it names the capability "${capability}" and has no "${part}"; add that${
        part === "topology"
          ? ", whose tables name every queue that is there or find it by findQueue"
          : ""
      }, or leave the capability out`,
    );
  }
}

/** The highest priority of brokers that lack `wide-priority`. */
const HIGHEST = 9;

/** Which argument of a queue asks for which capability. */
const QUEUE_ARGUMENTS: readonly (readonly [string, Capability])[] = [
  ["x-message-ttl", "message-ttl"],
  ["x-expires", "queue-ttl"],
  ["x-max-length", "length-limit"],
  ["x-max-length-bytes", "length-limit"],
  ["x-max-priority", "priority"],
  ["x-dead-letter-exchange", "dead-letter"],
  ["x-ordered", "key-order"],
];

/** Arguments of RabbitMQ's that promise what no store does, each with its value, why not, and what to give instead. */
const NOT_HERE: readonly (readonly [string, FieldValue, string, string])[] = [
  [
    "x-single-active-consumer",
    true,
    "hands messages to all consumers of a queue",
    '"ordered", and messages a key',
  ],
  [
    "x-overflow",
    "reject-publish-dlx",
    "dead-letters nothing that it refuses",
    '"reject-publish"',
  ],
];

/**
 * Refuses a queue that the broker cannot carry as declared.
 *
 * @param capabilities The broker's capabilities.
 * @param queue The declaration.
 * @throws {UnsupportedError} If it asks for something else.
 */
export function requireForQueue(
  capabilities: ReadonlySet<Capability>,
  queue: QueueDeclaration,
): void {
  const action = `declare queue "${queue.name}"`;
  if (queue.exclusive) {
    requireCapability(capabilities, "exclusive", action, "exclusive");
  }
  for (const [argument, capability] of QUEUE_ARGUMENTS) {
    if (queue.arguments[argument] === undefined) continue;
    requireCapability(capabilities, capability, action, `"${argument}"`);
  }
  if (queue.arguments["x-queue-type"] === "stream") {
    requireCapability(capabilities, "streams", action, 'the type "stream"');
  }
  const most = queue.arguments["x-max-priority"];
  if (Number(most ?? 0) > HIGHEST && !capabilities.has("wide-priority")) {
    throw tooHigh(action, '"x-max-priority"', Number(most));
  }
}

/**
 * Refuses a queue that no store carries as declared, or not this one.
 *
 * @param capabilities The store's capabilities.
 * @param queue The declaration.
 * @throws {UnsupportedError} If it asks for something else.
 */
export function requireForStoredQueue(
  capabilities: ReadonlySet<Capability>,
  queue: QueueDeclaration,
): void {
  for (const [argument, value, why, instead] of NOT_HERE) {
    if (queue.arguments[argument] !== value) continue;
    throw new UnsupportedError(
      `Cannot declare queue "${queue.name}" with "${argument}" ${
        show(value)
      }: this broker ${why}; give it ${instead}`,
    );
  }
  requireForQueue(capabilities, queue);
}

/**
 * Says why a message cannot be published as it is asked for. Returned and not
 * thrown: the hot path has a promise to reject.
 *
 * @param capabilities The broker's capabilities.
 * @param message The message.
 * @returns The error, or `undefined` if all is well.
 */
export function refusePublishing(
  capabilities: ReadonlySet<Capability>,
  message: Publishing,
): UnsupportedError | undefined {
  const { delay, properties } = message;
  if (delay > 0 && !capabilities.has("delay")) {
    return unsupported("delay", "publish a message", "a delay");
  }
  if (properties.expiration !== undefined && !capabilities.has("message-ttl")) {
    return unsupported("message-ttl", "publish a message", "an expiration");
  }
  if (
    message.keyed && !capabilities.has("key-order") &&
    !capabilities.has("key-fairness")
  ) return unsupported("key-order", "publish a message", "a key");
  const { priority } = properties;
  if (priority === undefined || priority === 0) return undefined;
  if (!capabilities.has("priority")) {
    return unsupported("priority", "publish a message", "a priority");
  }
  return priority > HIGHEST && !capabilities.has("wide-priority")
    ? tooHigh("publish a message", "priority", priority)
    : undefined;
}

/**
 * Says why a message cannot be published once.
 *
 * @param store The store.
 * @param message The message.
 * @returns The error, or `undefined` if it may be: by some queues at least.
 */
export function refuseDedupe(
  { capabilities, messages }: Pick<Store, "capabilities" | "messages">,
  { dedupe }: Publishing,
): UnsupportedError | undefined {
  return dedupe === undefined || capabilities.has("dedupe") ||
      messages.refuseMark !== undefined
    ? undefined
    : unsupported("dedupe", "publish a message", "dedupe");
}

/**
 * Says why a message cannot be published in a transaction of the caller's.
 *
 * @param store The store.
 * @param message The message.
 * @returns The error, or `undefined` if it can.
 */
export function refuseTransaction(
  { transactions }: Pick<Store, "transactions">,
  { transaction }: Publishing,
): UnsupportedError | undefined {
  return transaction === undefined || transactions !== undefined
    ? undefined
    : unsupported("transaction", "publish a message", "a transaction");
}

/**
 * Refuses an action that needs a capability which the broker lacks.
 *
 * @param capabilities The broker's capabilities.
 * @param capability The capability that it needs.
 * @param action The action, for the error.
 * @param feature The feature that needs the capability, for the error.
 * @throws {UnsupportedError} If it lacks it.
 */
export function requireCapability(
  capabilities: ReadonlySet<Capability>,
  capability: Capability,
  action: string,
  feature: string,
): void {
  if (!capabilities.has(capability)) {
    throw unsupported(capability, action, feature);
  }
}

function tooHigh(
  action: string,
  feature: string,
  given: number,
): UnsupportedError {
  return new UnsupportedError(
    `Cannot ${action} with ${feature} ${given}: this broker tells the priorities 0 to ${HIGHEST} apart, for it lacks the capability "wide-priority"`,
  );
}

function unsupported(
  capability: Capability,
  action: string,
  feature: string,
): UnsupportedError {
  return new UnsupportedError(
    `Cannot ${action} with ${feature}: this broker lacks the capability "${capability}"`,
  );
}
