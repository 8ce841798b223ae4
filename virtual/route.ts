import type { Binding } from "../model/binding.ts";
import {
  AccessRefusedError,
  NotFoundError,
  PreconditionFailedError,
} from "../model/errors.ts";
import type { FieldTable, FieldValue } from "../model/field_table.ts";
import type { Publishing } from "../model/message.ts";
import { show } from "./queue_arguments.ts";
import type { QueueRecord, Topology } from "./topology.ts";

/** The fields of a message that {@linkcode route} looks at. */
export interface Routable {
  /** The exchange that it is published to. */
  readonly exchange: string;
  /** Its key. */
  readonly routingKey: string;
  /** Its headers: for headers exchanges, and `CC` and `BCC`. */
  readonly properties: { readonly headers?: FieldTable | undefined };
}

/** Which fanout exchanges the broker broadcasts, and what of them it does not reach. */
export interface Broadcasting {
  /** Says whether an exchange is broadcast. */
  readonly broadcasts: (exchange: string) => boolean;
  /** Says which of the queues that are bound to it a message is put into all the same. @default {none} */
  readonly puts?: ((queue: QueueRecord) => boolean) | undefined;
}

/** The destinations of a message. */
export interface Route {
  /** The queues, each once. */
  readonly queues: ReadonlySet<string>;
  /** The fanout exchanges that the broker broadcasts. */
  readonly broadcasts: readonly string[];
  /** Whether all messages of this exchange and key go the same way, whatever their headers. */
  readonly cacheable: boolean;
}

/**
 * Finds the queues for a message: through exchanges bound to exchanges, and
 * alternate exchanges where an exchange has no match. Each exchange is visited once,
 * so circles end. As on RabbitMQ the headers `CC` and `BCC` hold further keys.
 *
 * @param topology The tables.
 * @param message The message.
 * @param broadcasting Which fanout exchanges are broadcast. By default none is.
 * @returns Its destinations.
 * @throws {NotFoundError} If there is no such exchange.
 * @throws {AccessRefusedError} If the exchange is internal.
 * @throws {PreconditionFailedError} If `CC` or `BCC` is no list.
 *
 * @example The default exchange
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planDeclareQueue, route, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * const queue = {
 *   name: "orders", durable: true, exclusive: false, autoDelete: false, arguments: {},
 * };
 * for (const change of planDeclareQueue(topology, queue, "me")) topology.apply(change);
 * const message = { exchange: "", routingKey: "orders", properties: {} };
 * assertEquals(route(topology, message).queues, new Set(["orders"]));
 * ```
 */
export function route(
  topology: Topology,
  message: Routable,
  broadcasting: Broadcasting = NONE,
): Route {
  const headers = message.properties.headers;
  const more = headers === undefined ? [] : extraKeys(headers, refuseNoList);
  if (message.exchange !== "") requireOpen(topology, message.exchange);
  return find(topology, message, more, broadcasting);
}

/**
 * Finds the queues for a dead letter. An internal exchange is closed to publishers
 * alone, and a header `CC` or `BCC` that is no list, which no publisher may send but
 * other programs may have put into a queue, names no keys: a message that was taken
 * once must not be lost for its headers.
 *
 * @param topology The tables.
 * @param message The message that {@linkcode deadLetter} made.
 * @param broadcasting Which fanout exchanges are broadcast. By default none is.
 * @returns Its destinations, or `undefined` if there is no such exchange.
 *
 * @example An exchange that is not there
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { routeDeadLetter, Topology } from "@dashi/mq/virtual";
 *
 * const message = { exchange: "dead", routingKey: "orders", properties: {} };
 * assertEquals(routeDeadLetter(new Topology(), message), undefined);
 * ```
 */
export function routeDeadLetter(
  topology: Topology,
  message: Routable,
  broadcasting: Broadcasting = NONE,
): Route | undefined {
  const { exchange, properties: { headers } } = message;
  if (exchange !== "" && topology.exchange(exchange) === undefined) {
    return undefined;
  }
  const more = headers === undefined ? [] : extraKeys(headers, () => {});
  return find(topology, message, more, broadcasting);
}

/**
 * Takes the `BCC` header away, as it must not be delivered.
 *
 * @param message The message.
 * @returns The message, the same one if it has no such header.
 *
 * @example The key that nobody is to see
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { withoutBcc } from "@dashi/mq/virtual";
 *
 * const message = {
 *   exchange: "",
 *   routingKey: "orders",
 *   mandatory: true,
 *   delay: 0,
 *   properties: { headers: { BCC: ["audit"] } },
 *   body: new Uint8Array(),
 * };
 * assertEquals(withoutBcc(message).properties.headers, {});
 * ```
 */
export function withoutBcc(message: Publishing): Publishing {
  const headers = message.properties.headers;
  if (headers?.BCC === undefined) return message;
  const { BCC: _, ...rest } = headers;
  return { ...message, properties: { ...message.properties, headers: rest } };
}

const NONE: Broadcasting = { broadcasts: () => false };

function find(
  topology: Topology,
  message: Routable,
  more: readonly string[],
  broadcasting: Broadcasting,
): Route {
  const { exchange, routingKey, properties: { headers } } = message;
  const keys = [routingKey, ...more];
  const queues = new Set<string>();
  if (exchange !== "") {
    return follow(topology, exchange, keys, headers, broadcasting, queues);
  }
  for (const key of keys) {
    if (topology.queue(key) !== undefined) queues.add(key);
  }
  return { queues, broadcasts: [], cacheable: more.length === 0 };
}

function follow(
  topology: Topology,
  first: string,
  keys: readonly string[],
  headers: FieldTable | undefined,
  broadcasting: Broadcasting,
  queues: Set<string>,
): Route {
  const broadcast: string[] = [];
  const visited = new Set([first]);
  let cacheable = keys.length === 1;
  let matches = 0;
  const found = ({ destination }: Binding) => {
    matches++;
    if (destination.kind === "exchange") visited.add(destination.name);
    else if (topology.queue(destination.name) !== undefined) {
      queues.add(destination.name);
    }
  };
  // A set that grows while it is walked: what is added is visited in its turn.
  for (const name of visited) {
    const declaration = topology.exchange(name)?.declaration;
    if (declaration === undefined) continue;
    if (declaration.type === "headers") cacheable = false;
    matches = 0;
    if (declaration.type === "fanout" && broadcasting.broadcasts(name)) {
      broadcast.push(name);
      // The broker reaches the queues, or some of them; on to other exchanges it does not lead.
      for (const binding of topology.bindingsFrom(name)) {
        const { kind, name: to } = binding.destination;
        const record = kind === "queue" ? topology.queue(to) : undefined;
        if (kind === "exchange" || (record && broadcasting.puts?.(record))) {
          found(binding);
        } else matches++;
      }
      // Consumers that listen there without a binding are known to the broker alone.
      if (broadcasting.puts === undefined) continue;
    } else for (const key of keys) topology.match(name, key, headers, found);
    const alternate = declaration.arguments["alternate-exchange"];
    if (matches === 0 && typeof alternate === "string") visited.add(alternate);
  }
  return { queues, broadcasts: broadcast, cacheable };
}

function requireOpen(topology: Topology, name: string): void {
  const record = topology.exchange(name);
  if (record === undefined) {
    throw new NotFoundError(
      `Cannot publish to exchange "${name}": there is no such exchange`,
      { outcome: "not-sent" },
    );
  }
  if (record.declaration.internal) {
    throw new AccessRefusedError(
      `Cannot publish to exchange "${name}": it is internal, only other exchanges may`,
      { outcome: "not-sent" },
    );
  }
}

type OnNoList = (name: string, value: FieldValue) => void;

function extraKeys(headers: FieldTable, onNoList: OnNoList): readonly string[] {
  return [
    ...keysIn("CC", headers.CC, onNoList),
    ...keysIn("BCC", headers.BCC, onNoList),
  ];
}

function keysIn(
  name: string,
  value: FieldValue | undefined,
  onNoList: OnNoList,
): string[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) {
    // RabbitMQ skips values that are no strings, too.
    return value.filter((each) => typeof each === "string");
  }
  onNoList(name, value);
  return [];
}

function refuseNoList(name: string, value: FieldValue): never {
  throw new PreconditionFailedError(
    `Cannot publish with the header "${name}" ${
      show(value)
    }: it must be a list of strings`,
    { outcome: "not-sent" },
  );
}
