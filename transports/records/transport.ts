import type { BrokerUrl, UrlDefaults } from "../../url/broker_url.ts";
import {
  createStoreTransport,
  type StoreTransport,
} from "../store/connection.ts";
import type { ConnectOptions } from "../transport.ts";
import type { Records } from "./records.ts";
import { RecordsStore } from "./store.ts";

/** Options of {@linkcode createRecordsTransport}. */
export interface RecordsTransportOptions {
  /** The transport's name. */
  readonly name: string;
  /** The defaults of its URLs. */
  readonly defaults?: UrlDefaults | undefined;
  /**
   * Connects once: the library retries, unless the error's `retryable` is `false`, as of
   * a `PreconditionFailedError` for a file that is no database. Parameters of the URL are in
   * `url.query`, options of the caller in `options.transportOptions`: refuse what you do
   * not know by an `OptionError`.
   */
  open(url: BrokerUrl, options: ConnectOptions): Promise<Records>;
}

/**
 * Makes a transport of a database.
 *
 * @param options Its name, and how to open the database.
 * @returns The transport: queues, delays, priorities, times to live, leases, declarations
 * that all processes share, and all that a transport of a store has.
 *
 * @example A database that cannot be opened
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { ConnectionError, createConnection } from "@dashi/mq";
 * import { createRecordsTransport } from "@dashi/mq/records";
 *
 * const transport = createRecordsTransport({
 *   name: "mine",
 *   open: () => {
 *     throw new ConnectionError("nobody is there", {
 *       code: "connection-failed",
 *     });
 *   },
 * });
 * const connection = createConnection("mine://", { transport, reconnect: false });
 * await assertRejects(() => connection.connect(), ConnectionError);
 * await connection.close();
 * ```
 */
export function createRecordsTransport(
  { name, defaults, open }: RecordsTransportOptions,
): StoreTransport {
  return createStoreTransport({
    name,
    defaults,
    open: async (url, options) =>
      await RecordsStore.open(await open(url, options), options),
  });
}
