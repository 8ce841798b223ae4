/**
 * The contract for databases: records in the order of their names, and a write that
 * holds only if the record is still what it was. The library makes queues of them, with
 * delays, priorities, times to live, leases, quarantine, and declarations that all
 * processes share; {@linkcode createRecordsTransport} makes a transport.
 *
 * @example A transport from a database
 * ```ts ignore a sketch
 * import { createRecordsTransport } from "@dashi/mq/records";
 *
 * const transport = createRecordsTransport({
 *   name: "mine",
 *   open: (url, options) => MyRecords.open(url, options),
 * });
 * ```
 *
 * @module
 */

export {
  createRecordsTransport,
  type RecordsTransportOptions,
} from "./transport.ts";
export type * from "./records.ts";
export { isStoreTransport, type StoreTransport } from "../store/connection.ts";
export * from "../transport.ts";
