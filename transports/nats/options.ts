import { OptionError } from "../../model/errors.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import { readTls, type TlsOptions } from "../../model/tls_options.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import {
  checkedOption,
  integerOption,
  leaseOption,
  type OptionReaders,
  readOptions,
  stringOption,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";

/** The NATS transport's own options, as `transportOptions` or in the URL. */
export interface NatsTransportOptions {
  /** How long a message stays with a connection that took it and is not heard of, ms; in a URL `ack_wait`, in seconds. @default {30000} */
  readonly ackWait?: number | undefined;
  /** How many servers of a cluster keep each stream, 1 to 5. @default {1} */
  readonly replicas?: number | undefined;
  /** The JetStream domain, behind a leaf node. @default {that of the server} */
  readonly domain?: string | undefined;
}

/** How they are read. */
export const NATS_OPTIONS: OptionReaders<NatsTransportOptions> = {
  ackWait: leaseOption("ack_wait"),
  replicas: integerOption("replicas", 1, 5),
  domain: checkedOption(
    stringOption("domain"),
    (name) => /^[\w-]+$/.test(name),
    "letters, digits, underscores and hyphens",
  ),
};

/** What a URL and the options say. */
export interface NatsSettings {
  /** The URL for errors, without the password. */
  readonly broker: string;
  /** `host:port`. */
  readonly server: string;
  readonly username: string | undefined;
  readonly tls: TlsOptions | undefined;
  /** How the names of all streams and subjects begin. */
  readonly prefix: string;
  /** The domain of JetStream, if it is given. */
  readonly domain: string | undefined;
  /** The subjects of JetStream's API begin like this. */
  readonly api: string;
  readonly lease: number;
  readonly replicas: number;
  readonly maxResponseSize: number;
}

/**
 * Reads a URL and the options.
 *
 * @throws {OptionError} If an option is unknown or bad.
 */
export function readNatsOptions(
  url: BrokerUrl,
  { tls, transportOptions, maxResponseSize = MAX_RESPONSE }: Pick<
    ConnectOptions,
    "tls" | "transportOptions" | "maxResponseSize"
  >,
): NatsSettings {
  const { ackWait = 30_000, replicas = 1, domain } = readOptions<
    NatsTransportOptions
  >(NATS_OPTIONS, { url, transportOptions });
  const prefix = url.virtualHost ?? "dashi";
  if (!/^[A-Za-z0-9-]{1,32}$/.test(prefix)) {
    throw new OptionError(
      `Cannot use the path ${
        JSON.stringify(prefix)
      } of a URL of NATS: streams and subjects begin with it, so it must be 1 to 32 letters of ASCII, digits and hyphens`,
    );
  }
  const host = url.hostname ?? "localhost";
  return {
    broker: formatUrl(url),
    server: `${host.includes(":") ? `[${host}]` : host}:${url.port ?? 4222}`,
    username: url.username,
    tls: readTls(tls, url.scheme === "tls"),
    prefix,
    domain,
    api: domain === undefined ? "$JS.API" : `$JS.${domain}.API`,
    lease: ackWait,
    replicas,
    maxResponseSize,
  };
}
