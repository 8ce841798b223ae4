import { OptionError } from "../../model/errors.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import { readTls, type TlsOptions } from "../../model/tls_options.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatHost, formatUrl } from "../../url/format.ts";
import {
  leaseOption,
  type OptionReaders,
  readOptions,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";

/** The CouchDB transport's own options, as `transportOptions` or in the URL. */
export interface CouchdbTransportOptions {
  /** How long what was taken stays with a holder that is not heard of, ms; in a URL `visibility_timeout`, in seconds. @default {30000} */
  readonly visibilityTimeout?: number | undefined;
}

/** All that the client needs to dial. */
export interface DialOptions {
  /** `http://host:port`. */
  readonly origin: string;
  /** The database's name, as CouchDB allows it. */
  readonly database: string;
  /** The URL for errors, without the password. */
  readonly broker: string;
  readonly username: string | undefined;
  readonly tls: TlsOptions | undefined;
  /** Milliseconds between signs of life of the feed; 0 is none. */
  readonly heartbeat: number;
  readonly operationTimeout: number;
  /** The maximum number of bytes of an answer, or of a line of the feed. */
  readonly maxResponseSize: number;
  /** Milliseconds. */
  readonly lease: number;
}

/** How they are read. */
export const COUCHDB_OPTIONS: OptionReaders<CouchdbTransportOptions> = {
  visibilityTimeout: leaseOption("visibility_timeout"),
};

/** CouchDB's own limit is on the file's name; this is what is left with its suffix and shards. */
const LONGEST_NAME = 200;

/**
 * Reads a URL and the options into what the client needs.
 *
 * @param url The URL, its defaults filled in.
 * @param options The options.
 * @returns The options to dial with, without the password.
 * @throws {OptionError} If an option is unknown or bad.
 */
export function readDialOptions(
  url: BrokerUrl,
  options: ConnectOptions,
): DialOptions {
  const own = readOptions<CouchdbTransportOptions>(COUCHDB_OPTIONS, {
    url,
    transportOptions: options.transportOptions,
  });
  const tls = readTls(options.tls, url.scheme === "couchdbs");
  const port = url.port ?? (tls === undefined ? 5984 : 6984);
  const database = databaseName(url.virtualHost ?? "dashi");
  if (database.length > LONGEST_NAME) {
    throw new OptionError(
      `Cannot use a database name of ${database.length} characters: it must have ${LONGEST_NAME} at most, each character but a to z, 0 to 9, "_", "(", ")", "+" and "-" counting three or more`,
    );
  }
  return {
    origin: `${tls === undefined ? "http" : "https"}://${
      formatHost(url.hostname ?? "localhost", port)
    }`,
    database,
    broker: formatUrl(url),
    username: url.username,
    tls,
    heartbeat: options.heartbeat,
    operationTimeout: options.operationTimeout,
    maxResponseSize: options.maxResponseSize ?? MAX_RESPONSE,
    lease: own.visibilityTimeout ?? 30_000,
  };
}

/**
 * Makes a name that CouchDB allows for a database, another one for each virtual
 * host: letters in lower case, digits, `_`, `(`, `)`, `+` and `-` are kept, other
 * characters are `$` and two hexadecimal digits for each byte.
 *
 * @param virtualHost The virtual host.
 * @returns The database's name.
 */
export function databaseName(virtualHost: string): string {
  let name = "";
  for (const char of virtualHost) {
    if (/^[a-z0-9_()+-]$/.test(char)) name += char;
    else {
      for (const byte of new TextEncoder().encode(char)) {
        name += `$${byte.toString(16).padStart(2, "0")}`;
      }
    }
  }
  // It must begin with a letter. No escape begins like this, so it is one of a kind.
  return /^[a-z]/.test(name) ? name : `db$_${name}`;
}
