import type { Binding, BindingDestination } from "../../model/binding.ts";
import type { ExchangeType } from "../../model/exchange.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Publishing } from "../../model/message.ts";
import { matchHeaders, matchTopic } from "../../virtual/mod.ts";
import { Exchange, type ExchangeBinding, exchangeName } from "./exchange.ts";
import { Queue } from "./queue.ts";

/** An exchange or a queue: both can be declared. */
export type Entity = Exchange | Queue;

/**
 * Says whether entities were given as a list: the platform's own question does not see
 * that a list may be read only.
 *
 * @param given The value as it was given.
 * @returns Whether it is one.
 */
export function isList(
  given: Entity | readonly Entity[],
): given is readonly Entity[] {
  return Array.isArray(given);
}

/**
 * Says whether a connection that declares an entity has it for itself alone.
 *
 * @param entity The entity.
 * @returns Whether it is an exclusive queue.
 */
export function isHeld(entity: Entity): boolean {
  return "exclusive" in entity && entity.exclusive;
}

/**
 * Refuses what cannot be declared: from JavaScript or JSON comes what no compiler has seen.
 *
 * @param entities The value as it was given.
 * @param where The option, for the error: `declare of connection.producer`.
 * @throws {TypeError} If one is neither a queue nor an exchange.
 */
export function checkEntities(
  entities: readonly Entity[] | undefined,
  where: string,
): void {
  if (entities === undefined) return;
  const given: unknown = entities;
  if (!Array.isArray(given)) {
    throw new TypeError(
      `Cannot use ${
        quote(given)
      } as ${where}: it must be an array of queues and exchanges`,
    );
  }
  for (const each of given) {
    if (each instanceof Exchange || each instanceof Queue) continue;
    throw new TypeError(
      `Cannot declare ${
        quote(each)
      } in ${where}: it must be a Queue or an Exchange${
        typeof each === "string" ? ", such as new Queue(…) of that name" : ""
      }`,
    );
  }
}

/**
 * Lists the exchanges that an entity needs, itself among them: those that it is bound
 * to, its alternate and its dead letter exchange, and all that these need in turn, where
 * they are given as objects. Each stands behind those that its declaration names.
 *
 * @param entity The entity.
 * @param into The set to add them to; entities that are there already are not added again.
 * @returns `into`.
 */
export function exchangesOf(
  entity: Entity,
  into: Set<Exchange> = new Set(),
): Set<Exchange> {
  collect(entity, into, new Set());
  return into;
}

function collect(
  entity: Entity,
  into: Set<Exchange>,
  seen: Set<Entity>,
): void {
  if (seen.has(entity)) return; // exchanges may be bound in a ring
  seen.add(entity);
  const named = entity instanceof Exchange
    ? entity.alternateExchange
    : entity.deadLetterExchange;
  if (named instanceof Exchange) collect(named, into, seen);
  for (const { exchange } of entity.bindings) {
    if (exchange instanceof Exchange) collect(exchange, into, seen);
  }
  if (entity instanceof Exchange) into.add(entity);
}

/**
 * Says whether an exchange is the broker's own, and always there.
 *
 * @param name Its name.
 * @returns Whether it is.
 */
export function isBuiltIn(name: string): boolean {
  return name === "" || name.startsWith("amq.");
}

/**
 * Makes the binding of an entity to an exchange.
 *
 * @param destination The entity, by its name.
 * @param from One of its bindings.
 * @returns The binding.
 */
export function bindingTo(
  destination: BindingDestination,
  from: ExchangeBinding,
): Binding {
  return {
    source: exchangeName(from.exchange),
    destination,
    routingKey: from.routingKey,
    arguments: from.arguments,
  };
}

/**
 * Makes a text that equal bindings of one destination share.
 *
 * @param binding The binding.
 * @returns The text.
 */
export function bindingKey(
  { source, routingKey, ...rest }: Binding,
): string {
  const table = Object.entries(rest.arguments).toSorted(([a], [b]) =>
    a < b ? -1 : 1
  ).map(([key, value]) => [key, `${typeof value} ${String(value)}`]);
  return JSON.stringify([source, routingKey, table]);
}

/**
 * Says whether a message reaches a queue by what entities declare.
 *
 * @param message The message.
 * @param entities The entities, with all that they need.
 * @returns Whether it does.
 */
export function routes(
  { exchange, routingKey, properties }: Pick<
    Publishing,
    "exchange" | "routingKey" | "properties"
  >,
  entities: Iterable<Entity>,
): boolean {
  const all = [...entities];
  const passed = new Set<string>();
  const next = [exchange];
  for (const source of next) {
    if (passed.has(source)) continue;
    passed.add(source);
    for (const entity of all) {
      for (const each of entity.bindings) {
        if (exchangeName(each.exchange) !== source) continue;
        const type = each.exchange instanceof Exchange
          ? each.exchange.type
          : "direct";
        if (!matches(type, each, routingKey, properties.headers)) continue;
        if (!(entity instanceof Exchange)) return true;
        next.push(entity.name);
      }
    }
  }
  return false;
}

function matches(
  type: ExchangeType,
  binding: ExchangeBinding,
  routingKey: string,
  headers: FieldTable = {},
): boolean {
  switch (type) {
    case "direct":
      return binding.routingKey === routingKey;
    case "topic":
      return matchTopic(binding.routingKey, routingKey);
    case "fanout":
      return true;
    case "headers":
      return matchHeaders(binding.arguments, headers);
    default:
      return true; // a plugin knows better
  }
}
