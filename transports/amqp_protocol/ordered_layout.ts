import {
  PreconditionFailedError,
  UnsupportedError,
} from "../../model/errors.ts";
import type { Binding } from "../../model/binding.ts";
import { MAX_SHORT_STRING } from "../../model/checks.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { Publishing } from "../../model/message.ts";
import { KEY_HEADER, keyOf } from "../../virtual/message_key.ts";
import {
  checkQueueArguments,
  queueTraits,
} from "../../virtual/queue_arguments.ts";

/*
 * An ordered queue on RabbitMQ, which has none: the headers exchange `<name>.keys` finds the
 * partition of a message by a number that its key has been hashed to, among the queues
 * `<name>.1` to `<name>.<n>`, of each of which one consumer at a time gets messages. There is
 * no queue `<name>`: who knows no more than the name is told so by the broker, and looks for
 * the exchange then.
 *
 * Publishers put the number beside the key, and those of a named exchange do not know of how
 * many partitions: so there are two, of 16 slots and of 256, and a partition has the slots
 * that are its own modulo n. Messages without a number, as other programs publish them, go by
 * the alternate exchange `<name>.keys.<n>` to the first partition. Its name says how many
 * there are, for the broker compares that when the exchange is declared again.
 *
 * The exchange type `x-consistent-hash` would need a plugin and no number; but it counts its
 * queues in the order in which they are bound, and RabbitMQ 3.10 binds them in another one
 * when it is started again: keys would move, and overtake what lies in their old partition.
 */

/** On how many partitions the keys are spread where nobody says. */
export const PARTITIONS = 16;

const UTF8 = new TextEncoder();

/** How many slots there are, and the headers that say which is a message's. */
const SLOTS = [16, 256] as const;
/** The start of the names of these headers; none that starts with `x-` is compared. */
const PREFIX = "dashi_key_";
const [FEW, MANY] = [`${PREFIX}16`, `${PREFIX}256`] as const;

/** An ordered queue as the broker has it. */
export interface OrderedQueue {
  /** The name that users know. */
  readonly name: string;
  /** The exchange that spreads the keys. */
  readonly exchange: string;
  /** The names of the partitions. */
  readonly partitions: readonly string[];
}

/** All that is to be declared for an ordered queue, each kind in its order. */
export interface OrderedSteps {
  /** The first tells whether it is there already, otherwise. */
  readonly exchanges: readonly ExchangeDeclaration[];
  /** The first partition is the last: where it is, all are. */
  readonly queues: readonly QueueDeclaration[];
  readonly bindings: readonly Binding[];
}

/**
 * Names the parts of an ordered queue.
 *
 * @param name Its name.
 * @param count The number of its partitions.
 * @returns It.
 */
export function orderedQueue(name: string, count: number): OrderedQueue {
  return {
    name,
    exchange: keysExchange(name),
    partitions: Array.from({ length: count }, (_, i) => partitionOf(name, i)),
  };
}

/**
 * Names the exchange of an ordered queue.
 *
 * @param name The queue's name.
 * @returns The exchange's.
 */
export function keysExchange(name: string): string {
  return `${name}.keys`;
}

/**
 * Names a partition.
 *
 * @param name The queue's name.
 * @param index Which one, from 0.
 * @returns The name of the broker's queue.
 */
export function partitionOf(name: string, index: number): string {
  return `${name}.${index + 1}`;
}

/**
 * Says whether there may be an ordered queue of a name, for that of its exchange is longer.
 *
 * @param name The queue's name.
 */
export function mayBeOrdered(name: string): boolean {
  return UTF8.encode(keysExchange(name)).length <= MAX_SHORT_STRING;
}

/**
 * Reads how many partitions a declaration asks for.
 *
 * @param declaration The declaration.
 * @returns The number; `undefined` if the queue is not ordered.
 */
export function partitionsOf(
  declaration: QueueDeclaration,
): number | undefined {
  if (declaration.arguments["x-ordered"] === undefined) return undefined;
  return queueTraits(declaration.arguments).partitions ?? PARTITIONS;
}

/**
 * Refuses a declaration that makes no ordered queue.
 *
 * @param declaration The declaration.
 * @throws {PreconditionFailedError} If an argument is bad, or the name is too long.
 * @throws {UnsupportedError} If it has no name, or is a stream.
 */
export function checkOrdered(declaration: QueueDeclaration): void {
  const { name, arguments: given } = declaration;
  checkQueueArguments(name, given);
  if (name === "") {
    throw new UnsupportedError(
      "Cannot declare an ordered queue without a name: those of its partitions are made of it",
    );
  }
  const longest = restExchange(
    orderedQueue(name, partitionsOf(declaration) ?? PARTITIONS),
  );
  const excess = UTF8.encode(longest).length - MAX_SHORT_STRING;
  if (excess > 0) {
    throw new PreconditionFailedError(
      `Cannot declare queue "${name}" as ordered: the names of its parts are made of its own, and would have ${excess} bytes more than the ${MAX_SHORT_STRING} that AMQP allows; give it a shorter one`,
      { outcome: "not-sent" },
    );
  }
  if (given["x-queue-type"] === "stream") {
    throw new UnsupportedError(
      `Cannot declare queue "${name}" as ordered: a stream hands every message to all who read it; leave "ordered" or "x-queue-type" out`,
    );
  }
}

/**
 * Lists what an ordered queue is made of.
 *
 * @param declaration How it is declared.
 * @param queue Its parts.
 * @returns The declarations.
 */
export function orderedSteps(
  declaration: QueueDeclaration,
  { exchange, partitions }: OrderedQueue,
): OrderedSteps {
  const { durable, exclusive, autoDelete } = declaration;
  const { "x-ordered": _, ...given } = declaration.arguments;
  const rest = restExchange({ exchange, partitions });
  const common = {
    durable,
    // They go with their last partition.
    autoDelete: autoDelete || exclusive,
    internal: false,
  };
  const [few, many] = SLOTS;
  const slots = partitions.length > few ? many : few;
  const bindings = Array.from({ length: slots }, (_, slot) => ({
    source: exchange,
    destination: {
      kind: "queue",
      name: partitions[slot % partitions.length] ?? "",
    } as const,
    routingKey: "",
    arguments: { [`${PREFIX}${slots}`]: slot, "x-match": "all" },
  }));
  const [first = ""] = partitions;
  return {
    exchanges: [{
      ...common,
      name: exchange,
      type: "headers",
      arguments: { "alternate-exchange": rest },
    }, { ...common, name: rest, type: "fanout", arguments: {} }],
    queues: partitions.map((name) => ({
      name,
      durable,
      exclusive,
      autoDelete,
      arguments: { ...given, "x-single-active-consumer": true },
    })).reverse(),
    bindings: [...bindings, {
      source: rest,
      destination: { kind: "queue", name: first },
      routingKey: "",
      arguments: {},
    }],
  };
}

/**
 * Names the exchange of messages that have no number.
 *
 * @param queue The ordered queue.
 * @returns The exchange's name.
 */
export function restExchange(
  { exchange, partitions }: Pick<OrderedQueue, "exchange" | "partitions">,
): string {
  return `${exchange}.${partitions.length}`;
}

/**
 * Puts beside a message's key the numbers by which ordered queues find its partition.
 *
 * @param message The message.
 * @returns The same if it has no key, or has them.
 */
export function withSlots(message: Publishing): Publishing {
  const { headers } = message.properties;
  if (headers === undefined || headers[KEY_HEADER] === undefined) {
    return message;
  }
  const key = keyOf(headers);
  return key === undefined ? message : inSlot(message, hashOf(key));
}

/**
 * Gives a message without a key a slot by chance: it is in nobody's way there for long.
 *
 * @param message The message.
 * @returns The message with the numbers; the same if it has a key.
 */
export function inAnySlot(message: Publishing): Publishing {
  const { headers } = message.properties;
  return headers !== undefined && keyOf(headers) !== undefined
    ? message
    : inSlot(message, Math.floor(Math.random() * SLOTS[1]));
}

function inSlot(message: Publishing, hash: number): Publishing {
  const { properties } = message;
  const headers = {
    ...properties.headers,
    [FEW]: hash % SLOTS[0],
    [MANY]: hash % SLOTS[1],
  };
  return { ...message, properties: { ...properties, headers } };
}

/** FNV-1a of the bytes in UTF-8, its upper half folded into the lower. */
function hashOf(key: string): number {
  let value = 0x811c9dc5;
  for (const byte of UTF8.encode(key)) {
    value = Math.imul(value ^ byte, 0x01000193);
  }
  return ((value >>> 16) ^ value) & 0xffff;
}

/**
 * Takes off what {@linkcode withSlots} has put beside the key.
 *
 * @param headers The headers as they were delivered.
 * @returns The same where there is nothing of that; else a copy without it.
 */
export function withoutSlots(headers: FieldTable): FieldTable {
  if (headers[FEW] === undefined && headers[MANY] === undefined) {
    return headers;
  }
  const { [FEW]: _, [MANY]: __, ...rest } = headers;
  return rest;
}

/**
 * Shares a consumer's prefetch out to partitions: the sum is the prefetch, but for one
 * message that each must be able to have.
 *
 * @param prefetch The maximum number of unsettled messages.
 * @param count The number of partitions.
 * @returns The prefetch of each.
 */
export function sharesOf(prefetch: number, count: number): readonly number[] {
  const least = Math.max(1, Math.floor(prefetch / count));
  const more = Math.max(0, prefetch - least * count);
  return Array.from({ length: count }, (_, i) => i < more ? least + 1 : least);
}
