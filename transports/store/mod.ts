/**
 * The contract for brokers that have queues but no exchanges: a few verbs, over
 * which the library's own channel adds exchanges, routing, prefetch, settlement
 * and dead letters. {@linkcode createStoreTransport} makes a transport of a store.
 *
 * @example A transport from a store
 * ```ts ignore a sketch
 * import { createStoreTransport } from "@dashi/mq/store";
 *
 * const transport = createStoreTransport({
 *   name: "mine",
 *   open: (url, options) => MyStore.open(url, options),
 * });
 * ```
 *
 * @module
 */

export {
  createStoreTransport,
  isStoreTransport,
  type StoreTransport,
  type StoreTransportOptions,
} from "./connection.ts";
export { type Envelope, EnvelopeWriter, readEnvelope } from "./envelope.ts";
export { DUPLICATE, LOST, PUT, STALE } from "./store.ts";
export type * from "./store.ts";
export * from "../transport.ts";
export * from "../../virtual/topology.ts";
