import { MAX_RESPONSE } from "../../model/response_limit.ts";
import { readTls, type TlsOptions } from "../../model/tls_options.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import {
  checkedOption,
  integerOption,
  leaseOption,
  type OptionReaders,
  readOptions,
  stringOption,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";

/** The PostgreSQL transport's own options, as `transportOptions` or in the URL. */
export interface PostgresTransportOptions {
  /** How long what was taken stays with a connection that is not heard of, ms; in a URL `visibility_timeout`, in seconds. @default {30000} */
  readonly visibilityTimeout?: number | undefined;
  /** The schema of the tables, which is made if it is not there. @default {"dashi"} */
  readonly schema?: string | undefined;
  /** How often a waiting connection looks whether a notice was missed, ms from 10 to 600000; behind a pooler, where there are none, 200 unless it is given. @default {10000, or the heartbeat where that is shorter} */
  readonly poll?: number | undefined;
}

/** How they are read. */
export const POSTGRES_OPTIONS: OptionReaders<PostgresTransportOptions> = {
  visibilityTimeout: leaseOption("visibility_timeout"),
  schema: checkedOption(
    stringOption("schema"),
    (name) => /^[a-z_][a-z0-9_]{0,62}$/.test(name),
    "1 to 63 letters in lower case, digits and underscores, no digit first",
  ),
  poll: integerOption("poll", 10, 600_000),
};

/** What a URL and the options say. */
export interface PostgresSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly database: string;
  readonly tls: TlsOptions | undefined;
  readonly schema: string;
  readonly lease: number;
  readonly poll: number | undefined;
  readonly maxResponseSize: number;
}

/**
 * Reads a URL and the options.
 *
 * @throws {OptionError} If an option is unknown or bad.
 */
export function readPostgresOptions(
  url: BrokerUrl,
  { tls, transportOptions, maxResponseSize = MAX_RESPONSE }: Pick<
    ConnectOptions,
    "tls" | "transportOptions" | "maxResponseSize"
  >,
): PostgresSettings {
  const { visibilityTimeout, schema, poll } = readOptions<
    PostgresTransportOptions
  >(POSTGRES_OPTIONS, { url, transportOptions });
  const host = url.hostname ?? "localhost";
  const spoken = readTls(tls, false);
  return {
    host,
    port: url.port ?? 5432,
    user: url.username,
    database: url.virtualHost ?? url.username ?? "postgres",
    tls: spoken && { servername: host, ...spoken },
    schema: schema ?? "dashi",
    lease: visibilityTimeout ?? 30_000,
    poll,
    maxResponseSize,
  };
}
