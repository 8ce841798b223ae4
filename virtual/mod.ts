/**
 * The rules of AMQP 0-9-1's exchanges as pure functions over tables in memory:
 * what a declaration changes, where a message goes, and where a dead letter goes.
 *
 * @example Route a message
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planBind, planDeclareQueue, route, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * const queue = {
 *   name: "video", durable: true, exclusive: false, autoDelete: false, arguments: {},
 * };
 * for (const change of planDeclareQueue(topology, queue, "me")) topology.apply(change);
 * const binding = {
 *   source: "amq.topic",
 *   destination: { kind: "queue", name: "video" } as const,
 *   routingKey: "video.#",
 *   arguments: {},
 * };
 * for (const change of planBind(topology, binding, "me")) topology.apply(change);
 *
 * const message = { exchange: "amq.topic", routingKey: "video.cat", properties: {} };
 * assertEquals(route(topology, message).queues, new Set(["video"]));
 * ```
 *
 * @module
 */

export * from "./consume.ts";
export * from "./dead_letter.ts";
export * from "./declare.ts";
export { exchangesAround } from "./exchanges_around.ts";
export { failedQueue, SHARED_FAILED_QUEUE } from "./failed_queue.ts";
export { matchHeaders } from "./headers.ts";
export { isKey, KEY_HEADER, keyOf } from "./message_key.ts";
export { type QueueTraits, queueTraits } from "./queue_arguments.ts";
export * from "./route.ts";
export { matchTopic } from "./topic.ts";
export * from "./topology.ts";
export type * from "../model/binding.ts";
export type {
  ExchangeDeclaration,
  ExchangeType,
  RoutingType,
} from "../model/exchange.ts";
export type { FieldTable, FieldValue } from "../model/field_table.ts";
export type {
  Dedupe,
  Delivery,
  DeliveryTag,
  MessageProperties,
  PayloadIssue,
  Publishing,
} from "../model/message.ts";
export type { QueueDeclaration, QueueStatus } from "../model/queue.ts";
export {
  AccessRefusedError,
  NotFoundError,
  PreconditionFailedError,
  ResourceLockedError,
} from "../model/errors.ts";
