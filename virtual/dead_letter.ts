import type { BindingDestination } from "../model/binding.ts";
import {
  type FieldTable,
  type FieldValue,
  isFieldTable,
} from "../model/field_table.ts";
import type { Publishing } from "../model/message.ts";
import type { QueueDeclaration } from "../model/queue.ts";
import { queueTraits } from "./queue_arguments.ts";

/** Why a message leaves its queue for where that dead-letters: RabbitMQ's words. */
export type DeadLetterReason =
  | "rejected"
  | "expired"
  | "maxlen"
  | "delivery_limit";

/**
 * Makes of a message what its queue's dead-letter exchange gets, with RabbitMQ's
 * headers: `x-death`, a list of tables of which the first is the newest, counts for
 * each queue and reason; `x-first-death-queue`, `-reason` and `-exchange` stay as
 * they first were.
 *
 * @param queue The queue that it leaves.
 * @param message The message.
 * @param reason Why.
 * @param now The time, ms since 1970.
 * @returns The message to publish, or `undefined` if the queue dead-letters nothing.
 *
 * @example A rejected message
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { deadLetter } from "@dashi/mq/virtual";
 *
 * const queue = {
 *   name: "orders", durable: true, exclusive: false, autoDelete: false,
 *   arguments: { "x-dead-letter-exchange": "dead" },
 * };
 * const message = {
 *   exchange: "", routingKey: "orders", mandatory: true, delay: 0,
 *   properties: {}, body: new Uint8Array(),
 * };
 * const next = deadLetter(queue, message, "rejected", 0);
 * assertEquals(next?.exchange, "dead");
 * assertEquals(next?.properties.headers?.["x-first-death-reason"], "rejected");
 * ```
 */
export function deadLetter(
  queue: QueueDeclaration,
  message: Publishing,
  reason: DeadLetterReason,
  now: number,
): Publishing | undefined {
  const { deadLetterExchange: exchange, deadLetterRoutingKey: key } =
    queueTraits(queue.arguments);
  if (exchange === undefined) return undefined;
  const { expiration: _, ...properties } = message.properties;
  const headers = addDeath(message, queue.name, reason, now);
  return {
    exchange,
    routingKey: key ?? message.routingKey,
    mandatory: false,
    delay: 0,
    // An expiration of its own would make it expire again where it goes.
    properties: {
      ...properties,
      headers: key === undefined ? headers : withoutCc(headers),
    },
    body: message.body,
    republished: true,
  };
}

/**
 * Makes of a message that failed for good what is put into the queue where it is parked,
 * with the headers of {@linkcode deadLetter}: they tell where it came from.
 *
 * @param queue The name of the queue that it leaves.
 * @param message The message.
 * @param to The name of the queue that it is parked in.
 * @param now The time, ms since 1970.
 * @returns The message to publish.
 *
 * @example Into the queue of failed messages
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parked } from "@dashi/mq/virtual";
 *
 * const message = {
 *   exchange: "",
 *   routingKey: "orders",
 *   mandatory: true,
 *   delay: 0,
 *   properties: {},
 *   body: new Uint8Array(),
 * };
 * const next = parked("orders", message, "orders.failed", 0);
 * assertEquals(next.routingKey, "orders.failed");
 * assertEquals(next.properties.headers?.["x-first-death-queue"], "orders");
 * ```
 */
export function parked(
  queue: string,
  message: Publishing,
  to: string,
  now: number,
): Publishing {
  const { expiration: _, ...properties } = message.properties;
  return {
    exchange: "",
    routingKey: to,
    mandatory: true,
    delay: 0,
    properties: {
      ...properties,
      headers: withoutCc(addDeath(message, queue, "rejected", now)),
    },
    body: message.body,
    republished: true,
  };
}

/**
 * Says where a dead letter goes.
 *
 * @param next The dead letter.
 * @returns The exchange, or for the default one the queue.
 *
 * @example The default exchange leads to a queue
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { destinationOf } from "@dashi/mq/virtual";
 *
 * const message = {
 *   exchange: "",
 *   routingKey: "orders",
 *   mandatory: true,
 *   delay: 0,
 *   properties: {},
 *   body: new Uint8Array(),
 * };
 * assertEquals(destinationOf(message), { kind: "queue", name: "orders" });
 * ```
 */
export function destinationOf(
  { exchange, routingKey }: Publishing,
): BindingDestination {
  return exchange === ""
    ? { kind: "queue", name: routingKey }
    : { kind: "exchange", name: exchange };
}

/**
 * Adds headers to a message.
 *
 * @param message The message.
 * @param added The headers, which win over equal ones.
 * @returns The message with them.
 *
 * @example One header more
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { withHeaders } from "@dashi/mq/virtual";
 *
 * const message = {
 *   exchange: "",
 *   routingKey: "orders",
 *   mandatory: true,
 *   delay: 0,
 *   properties: {},
 *   body: new Uint8Array(),
 * };
 * const next = withHeaders(message, { "x-error-name": "TypeError" });
 * assertEquals(next.properties.headers, { "x-error-name": "TypeError" });
 * ```
 */
export function withHeaders(
  message: Publishing,
  added: FieldTable,
): Publishing {
  const { properties } = message;
  const headers = { ...properties.headers, ...added };
  return { ...message, properties: { ...properties, headers } };
}

/**
 * Takes away the queues to which a dead letter must not go: those that it has gone
 * round from, without anyone having rejected it on the way, for it would go round for
 * ever.
 *
 * @param queues The queues that it would go to.
 * @param message The message that {@linkcode deadLetter} made.
 * @returns Its destinations.
 *
 * @example A message that has expired there before
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { deadLetterTargets } from "@dashi/mq/virtual";
 *
 * const message = {
 *   exchange: "",
 *   routingKey: "orders",
 *   mandatory: true,
 *   delay: 0,
 *   properties: {
 *     headers: { "x-death": [{ queue: "orders", reason: "expired" }] },
 *   },
 *   body: new Uint8Array(),
 * };
 * const queues = new Set(["orders", "dead"]);
 * assertEquals(deadLetterTargets(queues, message), new Set(["dead"]));
 * ```
 */
export function deadLetterTargets(
  queues: ReadonlySet<string>,
  message: Publishing,
): ReadonlySet<string> {
  const deaths = deathsOf(message.properties.headers ?? {});
  return new Set([...queues].filter((queue) => !isCircle(queue, deaths)));
}

function isCircle(queue: string, deaths: readonly FieldTable[]): boolean {
  const last = deaths.findIndex((death) => death.queue === queue);
  return last >= 0 &&
    deaths.slice(0, last + 1).every((death) => death.reason !== "rejected");
}

function addDeath(
  message: Publishing,
  queue: string,
  reason: DeadLetterReason,
  now: number,
): FieldTable {
  const headers = message.properties.headers ?? {};
  const deaths = deathsOf(headers);
  const known = deaths.find((death) =>
    death.queue === queue && death.reason === reason
  );
  const { expiration } = message.properties;
  const newest: FieldTable = known === undefined
    ? {
      count: 1,
      reason,
      queue,
      time: new Date(Math.floor(now / 1000) * 1000),
      exchange: message.exchange,
      "routing-keys": [message.routingKey, ...ccOf(headers)],
      ...(expiration === undefined
        ? {}
        : { "original-expiration": String(expiration) }),
    }
    : { ...known, count: countOf(known) + 1 };
  return {
    ...headers,
    ...(deaths.length === 0
      ? {
        "x-first-death-queue": queue,
        "x-first-death-reason": reason,
        "x-first-death-exchange": message.exchange,
      }
      : {}),
    "x-death": [newest, ...deaths.filter((death) => death !== known)],
  };
}

/**
 * Lists the deaths that headers tell of, the newest first.
 *
 * @param headers A message's headers.
 * @param name The header that tells of them.
 * @returns The deaths; none where the header is missing, or no list.
 *
 * @example The newest death
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { deathsOf } from "@dashi/mq/virtual";
 *
 * const deaths = deathsOf({ "x-death": [{ queue: "orders", count: 2 }] });
 * assertEquals(deaths[0]?.queue, "orders");
 * assertEquals(deathsOf({}), []);
 * ```
 */
export function deathsOf(
  headers: FieldTable,
  name = "x-death",
): readonly FieldTable[] {
  const deaths = headers[name];
  return Array.isArray(deaths) ? deaths.filter(isFieldTable) : [];
}

function countOf(death: FieldTable): number {
  const { count } = death;
  return typeof count === "number"
    ? count
    : typeof count === "bigint"
    ? Number(count)
    : 1;
}

function ccOf(headers: FieldTable): readonly FieldValue[] {
  const { CC } = headers;
  return Array.isArray(CC) ? CC : [];
}

function withoutCc(headers: FieldTable): FieldTable {
  const { CC: _, ...rest } = headers;
  return rest;
}
