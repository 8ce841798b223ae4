import { parseJson, stringifyJson } from "../../codec/mod.ts";
import type { Binding } from "../../model/binding.ts";
import type {
  ExchangeDeclaration,
  ExchangeType,
} from "../../model/exchange.ts";
import type { FieldTable, FieldValue } from "../../model/field_table.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { ConsumerRecord, Topology } from "../../virtual/topology.ts";
import { formatPattern } from "../../virtual/topic.ts";
import type { Fields } from "./port.ts";

/**
 * The kinds of declarations, as documents. Bindings of queues lie in Kombu's own
 * collection, where its processes read and write them; exchanges, queues, and the bindings
 * that Kombu has not (of headers exchanges, and to exchanges) in one of ours, each with
 * `at`, the number of the change that wrote it: who knows all up to one number reads only
 * what is newer. A deleted one stays for a while, with `gone`.
 */
export type RecordKind = "exchange" | "queue" | "binding";

/** The id of a record of an exchange or a queue. */
export function recordId(kind: RecordKind, name: string): string {
  return `${kind} ${name}`;
}

/** Makes an exchange's fields. */
export function exchangeFields(exchange: ExchangeDeclaration): Fields {
  return {
    kind: "exchange",
    name: exchange.name,
    type: exchange.type,
    durable: exchange.durable,
    auto_delete: exchange.autoDelete,
    internal: exchange.internal,
    arguments: stringifyJson(exchange.arguments),
  };
}

/** Makes a queue's fields; they say nothing of its consumers. */
export function queueFields(
  queue: QueueDeclaration,
  owner: string | undefined,
): Fields {
  return {
    kind: "queue",
    name: queue.name,
    durable: queue.durable,
    exclusive: queue.exclusive,
    auto_delete: queue.autoDelete,
    arguments: stringifyJson(queue.arguments),
    owner: owner ?? null,
  };
}

/** Makes the fields of a queue's consumers. */
export function consumerFields(
  consumers: readonly ConsumerRecord[],
): readonly Fields[] {
  return consumers.map(({ consumerTag, owner, exclusive }) => ({
    tag: consumerTag,
    owner,
    exclusive,
  }));
}

/** Makes the fields of a binding that Kombu has not. */
export function bindingFields(binding: Binding): Fields {
  return {
    kind: "binding",
    name: bindingName(binding),
    source: binding.source,
    destination_kind: binding.destination.kind,
    destination: binding.destination.name,
    routing_key: binding.routingKey,
    arguments: stringifyJson(binding.arguments),
  };
}

/** Names a binding that Kombu has not. */
export function bindingName(
  { source, destination, routingKey, arguments: table }: Binding,
): string {
  const { kind, name } = destination;
  const text = stringifyJson(table);
  return JSON.stringify([source, kind, name, routingKey, text]);
}

/** Makes the fields of a binding in Kombu's collection. */
export function routeFields(binding: Binding, type: ExchangeType): Fields {
  const { source, destination, routingKey, arguments: table } = binding;
  return {
    exchange: source,
    queue: destination.name,
    routing_key: routingKey,
    pattern: type === "topic" ? formatPattern(routingKey) : null,
    // Kombu has none, and no such field.
    ...(Object.keys(table).length === 0
      ? {}
      : { arguments: stringifyJson(table) }),
  };
}

/** Makes the filter that finds a binding in Kombu's collection, whichever Kombu wrote it. */
export function routeFilter(binding: Binding): Fields {
  const { source, destination, routingKey, arguments: table } = binding;
  return {
    exchange: source,
    queue: destination.name,
    routing_key: routingKey,
    arguments: Object.keys(table).length === 0
      ? { $exists: false }
      : stringifyJson(table),
  };
}

/** Reads a binding out of Kombu's collection. */
export function readRoute(fields: Fields): Binding {
  return {
    source: String(fields.exchange),
    destination: { kind: "queue", name: String(fields.queue) },
    routingKey: text(fields.routing_key),
    arguments: readTable(fields.arguments),
  };
}

/** Guesses the type of an exchange that others use, from its bindings. */
export function guessType(routes: readonly Fields[]): ExchangeType {
  if (routes.some(({ pattern }) => typeof pattern === "string")) return "topic";
  const isFanout = routes.every(({ routing_key }) => text(routing_key) === "");
  return isFanout ? "fanout" : "direct";
}

/** Says whether a record is of a deleted entity. */
export function isGone({ gone }: Fields): boolean {
  return gone !== undefined && gone !== null;
}

/** Brings tables up to date with a record of ours. */
export function applyRecord(topology: Topology, fields: Fields): void {
  const name = text(fields.name);
  switch (fields.kind) {
    case "exchange":
      topology.apply(
        isGone(fields) ? { type: "exchange-deleted", name } : {
          type: "exchange-declared",
          exchange: readExchange(name, fields),
        },
      );
      return;
    case "queue":
      return applyQueue(topology, name, fields);
    case "binding":
      topology.apply({
        type: isGone(fields) ? "unbound" : "bound",
        binding: readBinding(fields),
      });
  }
}

function applyQueue(
  topology: Topology,
  name: string,
  fields: Fields,
): void {
  topology.apply({ type: "queue-deleted", name, ifEmpty: false });
  if (isGone(fields)) return;
  topology.apply({
    type: "queue-declared",
    queue: {
      name,
      durable: fields.durable !== false,
      exclusive: fields.exclusive === true,
      autoDelete: fields.auto_delete === true,
      arguments: readTable(fields.arguments),
    },
    owner: typeof fields.owner === "string" ? fields.owner : undefined,
    foreign: fields.foreign === true,
  });
  const consumers = Array.isArray(fields.consumers) ? fields.consumers : [];
  for (const { tag, owner, exclusive } of consumers) {
    topology.apply({
      type: "consumer-added",
      queue: name,
      consumer: {
        consumerTag: text(tag),
        owner: text(owner),
        exclusive: exclusive === true,
      },
    });
  }
}

function readExchange(name: string, fields: Fields): ExchangeDeclaration {
  return {
    name,
    type: readType(fields.type),
    durable: fields.durable !== false,
    autoDelete: fields.auto_delete === true,
    internal: fields.internal === true,
    arguments: readTable(fields.arguments),
  };
}

function readType(type: unknown): ExchangeType {
  switch (type) {
    case "topic":
    case "fanout":
    case "headers":
      return type;
  }
  return "direct";
}

function readBinding(fields: Fields): Binding {
  return {
    source: text(fields.source),
    destination: {
      kind: fields.destination_kind === "exchange" ? "exchange" : "queue",
      name: text(fields.destination),
    },
    routingKey: text(fields.routing_key),
    arguments: readTable(fields.arguments),
  };
}

function text(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

/** Arguments are JSON with types: names may have dots, and numbers any size. */
function readTable(value: unknown): FieldTable {
  if (typeof value !== "string") return {};
  const table = parseJson(value);
  return isTable(table) ? table : {};
}

function isTable(
  value: unknown,
): value is { readonly [name: string]: FieldValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
