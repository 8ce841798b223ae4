import { OptionError } from "../../model/errors.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import {
  integerOption,
  leaseOption,
  type OptionReaders,
  readOptions,
  wordOption,
} from "../../url/options.ts";

/** The SQLite transport's own options, as `transportOptions` or in the URL. */
export interface SqliteTransportOptions {
  /** How long what was taken stays with a connection that is not heard of, ms; in a URL `visibility_timeout`, in seconds. @default {30000} */
  readonly visibilityTimeout?: number | undefined;
  /**
   * What is on the disk when a call ends: with `"full"` all that is confirmed outlives a
   * machine that loses its power, with `"normal"` a process that is killed. @default {"full"}
   */
  readonly synchronous?: "full" | "normal" | undefined;
  /** How often a waiting process asks whether another has written, ms from 1 to 60000. @default {10} */
  readonly poll?: number | undefined;
}

/** How they are read. */
export const SQLITE_OPTIONS: OptionReaders<SqliteTransportOptions> = {
  visibilityTimeout: leaseOption("visibility_timeout"),
  synchronous: wordOption("synchronous", ["full", "normal"]),
  poll: integerOption("poll", 1, 60_000),
};

/** What a URL and the options say. */
export interface SqliteSettings {
  /** The file; `undefined`: a database in memory. */
  readonly path: string | undefined;
  readonly lease: number;
  readonly synchronous: "full" | "normal";
  readonly poll: number;
}

/**
 * Reads a URL and the options.
 *
 * @throws {OptionError} If an option is unknown or bad, or no file is named.
 */
export function readSqliteOptions(
  url: BrokerUrl,
  transportOptions: Readonly<Record<string, unknown>>,
): SqliteSettings {
  const { visibilityTimeout, synchronous, poll } = readOptions<
    SqliteTransportOptions
  >(SQLITE_OPTIONS, { url, transportOptions });
  const path = url.virtualHost;
  if (url.hostname !== undefined || path === undefined) {
    const given = url.hostname === undefined ? "" : `${url.hostname}/${path}`;
    throw new OptionError(
      `Cannot use the URL "${
        formatUrl(url)
      }": it must name a file, as in "sqlite:./${
        given.replace(/\/(undefined)?$/, "") || "orders.db"
      }" or "sqlite:/var/lib/orders.db", or no file: "sqlite::memory:"`,
    );
  }
  return {
    path: path === ":memory:" ? undefined : path,
    lease: visibilityTimeout ?? 30_000,
    synchronous: synchronous ?? "full",
    poll: poll ?? 10,
  };
}
