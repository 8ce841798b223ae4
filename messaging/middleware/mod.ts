/**
 * Middlewares that many services want, for {@linkcode Connection.use}: structured logs,
 * bodies that nobody can read at the broker, large bodies in a store beside it, and
 * compression of what is worth it.
 *
 * @example Encrypted, and what is large in a folder
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 * import {
 *   claimCheck,
 *   compression,
 *   createMemoryClaimStore,
 *   encryption,
 * } from "@dashi/mq/middleware";
 *
 * const keys = { "2026-11": crypto.getRandomValues(new Uint8Array(32)) };
 * await using connection = createConnection("memory://modules");
 * connection
 *   .use(compression({ over: 1024 }))
 *   .use(encryption({ keys, current: "2026-11" }))
 *   .use(claimCheck({ store: createMemoryClaimStore(), over: 65_536 }));
 *
 * const reports = new Queue<string>("reports");
 * await connection.send(reports, "long ".repeat(100_000));
 * const consumer = connection.consumer(reports);
 * await consumer.run(({ payload }) => {
 *   assertEquals(payload.length, 500_000);
 *   void consumer.cancel();
 * });
 * ```
 *
 * @module
 */

export { claimCheck, type ClaimCheckOptions } from "./claim_check.ts";
export type { ClaimStore, FolderClaimStore } from "./claim_store.ts";
export { compression, type CompressionOptions } from "./compression.ts";
export { encryption, type EncryptionOptions } from "./encryption.ts";
export { createFolderClaimStore } from "./folder_client.ts";
export {
  type LogError,
  logging,
  type LoggingOptions,
  type LogLine,
} from "./logging.ts";
export { createMemoryClaimStore } from "./memory_claims.ts";
export type { Middleware, MiddlewareHost } from "./middleware.ts";
export type {
  IncomingChanges,
  IncomingMessage,
  NothingReceived,
  OutgoingChanges,
  OutgoingMessage,
  PlainProperties,
  PublishOrigin,
  ReceivedVia,
  Settlement,
} from "./hooks.ts";
export type { Clock } from "../../async/clock.ts";
