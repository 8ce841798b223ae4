import { OptionError } from "../../model/errors.ts";
import { checkCollectionName, checkDatabaseName } from "./names.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatHost } from "../../url/format.ts";
import {
  booleanOption,
  durationOption,
  integerOption,
  invalidOption,
  leaseOption,
  type OptionReader,
  type OptionReaders,
  readOptions,
  stringOption,
  wordOption,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";

/** The MongoDB transport's own options, as `transportOptions` or in the URL. */
export interface MongodbTransportOptions {
  /** How long a delivery stays out of the others' sight without being renewed, ms; in a URL `visibility_timeout`, seconds. It is renewed while its connection lives. @default {30000} */
  readonly visibilityTimeout?: number | undefined;
  /** The longest wait between two looks at queues that stay empty, ms; in a URL `polling_interval`, seconds. @default {1000} */
  readonly pollingInterval?: number | undefined;
  /** `queue` routes to every bound queue, `broadcast` by Kombu's capped collection to the present listeners. @default {"queue"} */
  readonly fanout?: "queue" | "broadcast" | undefined;
  /** Kombu's: whether the server removes expired documents, by TTL indexes. @default {false} */
  readonly ttl?: boolean | undefined;
  /** Kombu's: the size of the capped collection, bytes; in a URL `capped_queue_size`. @default {100000} */
  readonly cappedQueueSize?: number | undefined;
  /** Kombu's: the collection of messages; in a URL `messages_collection`. Our own are named after it. @default {"messages"} */
  readonly messagesCollection?: string | undefined;
  /** Kombu's: the collection of bindings; in a URL `routing_collection`. @default {"messages.routing"} */
  readonly routingCollection?: string | undefined;
  /** Kombu's: the capped collection of broadcasts; in a URL `broadcast_collection`. @default {"messages.broadcast"} */
  readonly broadcastCollection?: string | undefined;
  /** Kombu's: the collection of queues that expire; in a URL `queues_collection`. @default {"messages.queues"} */
  readonly queuesCollection?: string | undefined;
  /** MongoDB's: the name of the replica set. */
  readonly replicaSet?: string | undefined;
  /** MongoDB's: the database that knows the user. @default {"admin", or the database of the URL} */
  readonly authSource?: string | undefined;
  /** MongoDB's: how to log in. @default {as the server says} */
  readonly authMechanism?:
    | "SCRAM-SHA-1"
    | "SCRAM-SHA-256"
    | "MONGODB-X509"
    | "PLAIN"
    | undefined;
  /** MongoDB's: whether to speak to this host alone. @default {false} */
  readonly directConnection?: boolean | undefined;
  /** MongoDB's: whether to speak TLS; the connection's option `tls` says how. */
  readonly tls?: boolean | undefined;
  /** MongoDB's: how many members must have a message before it counts as published: a number, or `majority`. @default {"majority"} */
  readonly w?: number | string | undefined;
  /** MongoDB's: taken and not heeded, for the library publishes again by itself. */
  readonly retryWrites?: boolean | undefined;
  /** MongoDB's: the name that the server's log shows. @default {the connection's name} */
  readonly appName?: string | undefined;
  /** MongoDB's: the maximum number of sockets. @default {10} */
  readonly maxPoolSize?: number | undefined;
}

/** The collections by their contents: four of Kombu's, and ours. */
export interface CollectionNames {
  readonly messages: string;
  readonly routing: string;
  readonly broadcast: string;
  readonly queues: string;
  /** Exchanges, queues, and the bindings that Kombu has not. */
  readonly topology: string;
  /** The owners that are alive. */
  readonly owners: string;
  /** The marks of messages that are published once. */
  readonly marks: string;
  /** When handlers began, for rates over all processes. */
  readonly rates: string;
}

/** All that the client needs to dial. */
export interface DialOptions {
  /** Without user and password. */
  readonly uri: string;
  readonly database: string;
  readonly username: string | undefined;
  readonly tls: boolean | TlsOptions | undefined;
  readonly replicaSet: string | undefined;
  readonly authSource: string | undefined;
  readonly authMechanism: MongodbTransportOptions["authMechanism"];
  readonly directConnection: boolean | undefined;
  readonly w: number | "majority";
  readonly appName: string | undefined;
  readonly maxPoolSize: number;
  /** The largest message of a server's, bytes. */
  readonly maxResponseSize: number;
}

/** The settings of a store. */
export interface StoreSettings {
  readonly names: CollectionNames;
  readonly lease: number;
  readonly pollingInterval: number;
  readonly broadcasts: boolean;
  readonly ttl: boolean;
  readonly cappedQueueSize: number;
}

/** Kombu's, where neither URL nor options name a database. */
export const DEFAULT_DATABASE = "kombu_default";

const WRITE_CONCERN: OptionReader<number | string> = {
  urlName: "w",
  fromUrl: (name, value) => readWriteConcern(name, value),
  fromObject: (name, value) => readWriteConcern(name, String(value)),
};

/** How they are read. */
export const MONGODB_OPTIONS: OptionReaders<MongodbTransportOptions> = {
  visibilityTimeout: leaseOption("visibility_timeout", 1000),
  pollingInterval: durationOption("polling_interval"),
  fanout: wordOption("fanout", ["queue", "broadcast"] as const),
  ttl: booleanOption("ttl"),
  cappedQueueSize: integerOption("capped_queue_size", 4096, 2 ** 40),
  messagesCollection: stringOption("messages_collection"),
  routingCollection: stringOption("routing_collection"),
  broadcastCollection: stringOption("broadcast_collection"),
  queuesCollection: stringOption("queues_collection"),
  replicaSet: stringOption("replicaSet"),
  authSource: stringOption("authSource"),
  authMechanism: wordOption(
    "authMechanism",
    ["SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509", "PLAIN"] as const,
  ),
  directConnection: booleanOption("directConnection"),
  tls: booleanOption("tls"),
  w: WRITE_CONCERN,
  retryWrites: booleanOption("retryWrites"),
  appName: stringOption("appName"),
  maxPoolSize: integerOption("maxPoolSize", 2, 1000),
};

/** MongoDB's own names are the same in any case. */
const URL_NAMES: ReadonlyMap<string, string> = new Map(
  Object.values(MONGODB_OPTIONS).flatMap(({ urlName }) =>
    urlName === undefined ? [] : [[urlName.toLowerCase(), urlName]]
  ),
);

/**
 * Reads a URL and the options into what the client and the store need.
 *
 * @throws {OptionError} If an option is unknown or bad.
 */
export function readMongodbOptions(
  url: BrokerUrl,
  options: ConnectOptions,
): { readonly dial: DialOptions; readonly settings: StoreSettings } {
  const own = readOptions<MongodbTransportOptions>(MONGODB_OPTIONS, {
    url: { ...url, query: inOwnCase(url.query) },
    transportOptions: options.transportOptions,
  });
  const messages = own.messagesCollection ?? "messages";
  const { virtualHost } = url;
  const database = virtualHost === undefined || virtualHost === "/"
    ? DEFAULT_DATABASE
    : virtualHost;
  checkDatabaseName(database);
  const names: CollectionNames = {
    messages,
    routing: own.routingCollection ?? "messages.routing",
    broadcast: own.broadcastCollection ?? "messages.broadcast",
    queues: own.queuesCollection ?? "messages.queues",
    topology: `${messages}.topology`,
    owners: `${messages}.owners`,
    marks: `${messages}.dedupe`,
    rates: `${messages}.rates`,
  };
  for (const name of Object.values(names)) checkCollectionName(database, name);
  return {
    dial: {
      uri: uriOf(url),
      database,
      username: url.username,
      tls: tlsOf(url.scheme, own.tls, options.tls),
      replicaSet: own.replicaSet,
      authSource: own.authSource,
      authMechanism: own.authMechanism,
      directConnection: own.directConnection,
      w: own.w === undefined || typeof own.w === "string" ? "majority" : own.w,
      appName: own.appName ?? options.name,
      maxPoolSize: own.maxPoolSize ?? 10,
      maxResponseSize: options.maxResponseSize ?? MAX_RESPONSE,
    },
    settings: {
      names,
      lease: own.visibilityTimeout ?? 30_000,
      pollingInterval: Math.max(own.pollingInterval ?? 1000, 10),
      broadcasts: own.fanout === "broadcast",
      ttl: own.ttl ?? false,
      cappedQueueSize: own.cappedQueueSize ?? 100_000,
    },
  };
}

/** The library's own word says how, and not only whether; but it is the same word. */
function tlsOf(
  scheme: string,
  own: boolean | undefined,
  shared: boolean | TlsOptions | undefined,
): boolean | TlsOptions | undefined {
  if (
    own !== undefined && shared !== undefined && own !== (shared !== false)
  ) {
    throw new OptionError(
      `Cannot tell whether to speak TLS: MongoDB's "tls", in the URL or in transportOptions, says ${
        own ? "yes" : "no"
      } and the connection's, the option "tls" or "ssl" in the URL, says ${
        own ? "no" : "yes"
      }; take one of them away`,
    );
  }
  const tls = shared ?? own;
  if (scheme === "mongodb+srv" && tls === false) {
    throw new OptionError(
      `Cannot tell whether to speak TLS: "mongodb+srv" says yes and ${
        shared === false ? `the option "tls", or "ssl" in the URL,` : `"tls"`
      } says no; take it away, or name the hosts with "mongodb"`,
    );
  }
  return tls;
}

function readWriteConcern(name: string, value: string): number | string {
  if (value === "majority") return value;
  if (/^[1-9]\d?$/.test(value)) return Number(value);
  throw invalidOption(
    name,
    value,
    "majority, or a number from 1: a publish waits for the server's answer",
  );
}

function inOwnCase(
  query: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [
      URL_NAMES.get(name.toLowerCase()) ?? name,
      value,
    ]),
  );
}

function uriOf(url: BrokerUrl): string {
  const isSrv = url.scheme === "mongodb+srv";
  // The names that DNS gives bring their ports with them.
  const hosts = url.hosts.map(({ hostname = "127.0.0.1", port }) =>
    formatHost(hostname, isSrv ? undefined : port)
  );
  // A database that is named knows the user too, unless `authSource` says otherwise.
  const database = url.virtualHost === undefined || url.virtualHost === "/"
    ? ""
    : encodeURIComponent(url.virtualHost);
  return `${isSrv ? "mongodb+srv" : "mongodb"}://${
    hosts.join(",")
  }/${database}`;
}
