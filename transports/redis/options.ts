import { OptionError } from "../../model/errors.ts";
import { readTls, type TlsOptions } from "../../model/tls_options.ts";
import type { BrokerHost, BrokerUrl } from "../../url/broker_url.ts";
import {
  booleanOption,
  checkedOption,
  durationOption,
  integerOption,
  invalidOption,
  type OptionReader,
  type OptionReaders,
  readOptions,
  stringOption,
  wordOption,
} from "../../url/options.ts";
import { readBoolean } from "../../url/query.ts";
import type { ConnectOptions } from "../transport.ts";
import type { LayoutOptions } from "./layout.ts";

/** The Redis transport's own options, as `transportOptions`, or in the URL under Kombu's names. */
export interface RedisTransportOptions {
  /** Stands before every key and channel; in a URL `global_keyprefix`. @default {""} */
  readonly globalKeyPrefix?: string | undefined;
  /** Stands between a queue's name and a priority step, and between the fields of a binding; in a URL `sep`. @default {"\x06\x16"} */
  readonly separator?: string | undefined;
  /** The priorities that have a list of their own, ascending; in a URL `priority_steps`, separated by commas. @default {[0, 3, 6, 9]} */
  readonly prioritySteps?: readonly number[] | undefined;
  /** Which priority is served first; Kombu's consumers on Redis take the lowest. In a URL `priority_order`. @default {"highest-first"} */
  readonly priorityOrder?: "highest-first" | "lowest-first" | undefined;
  /** In which order several queues are served; in a URL `queue_order_strategy`: `round_robin`, `priority`, `sorted`. @default {"round-robin"} */
  readonly queueOrderStrategy?:
    | "round-robin"
    | "priority"
    | "sorted"
    | undefined;
  /** How a fanout exchange reaches its queues: `queue` puts into each that is bound, and publishes for Kombu's by PUB/SUB too; `pubsub` is Kombu's own way, for those who consume at that moment. In a URL `fanout`. @default {"queue"} */
  readonly fanout?: "pubsub" | "queue" | undefined;
  /** The prefix of fanout channels: `true` is `/{db}.`, `false` nothing; in a URL `fanout_prefix`. @default {true} */
  readonly fanoutPrefix?: boolean | string | undefined;
  /** Whether the routing key is a part of fanout channels; in a URL `fanout_patterns`. @default {true} */
  readonly fanoutPatterns?: boolean | undefined;
  /** How long a message may be unacked before it is given to somebody else, unless its holder lives and says so, ms; in a URL `visibility_timeout`, seconds. @default {3_600_000} */
  readonly visibilityTimeout?: number | undefined;
  /** The hash of what is unacked; in a URL `unacked_key`. @default {"unacked"} */
  readonly unackedKey?: string | undefined;
  /** The sorted set of when it was taken; in a URL `unacked_index_key`. @default {"unacked_index"} */
  readonly unackedIndexKey?: string | undefined;
  /** Whether the hosts are nodes of a cluster: of Redis, Valkey, ElastiCache or MemoryDB, whose configuration endpoint is one. In a URL `cluster`. @default {false} */
  readonly cluster?: boolean | undefined;
  /** How many replicas must have a message, or a declaration, before it is confirmed (`WAIT`); in a URL `wait_for_replicas`. A failover loses nothing of that if it promotes one of them. @default {0} */
  readonly waitForReplicas?: number | undefined;
  /** The master's name, where the URL is a sentinel's; in a URL `master_name`. */
  readonly masterName?: string | undefined;
  /** As whom to ask the sentinels; in a URL `sentinel_username`. The URL's user is the master's. */
  readonly sentinelUsername?: string | undefined;
  /** The sentinels' password. */
  readonly sentinelPassword?: string | undefined;
}

/** The address to dial, and the login. */
export interface RedisAddress {
  /** A Unix socket's path, or a host and a port. */
  readonly path: string | undefined;
  readonly hosts: readonly BrokerHost[];
  readonly tls: TlsOptions | undefined;
  readonly username: string | undefined;
  readonly database: number;
  /** Whether the hosts are nodes of a cluster. */
  readonly cluster: boolean;
  /** Set where the hosts are sentinels. */
  readonly sentinel: {
    readonly masterName: string;
    readonly username: string | undefined;
    readonly password: string | undefined;
  } | undefined;
}

/** All that a URL and the options say. */
export interface RedisOptions {
  readonly address: RedisAddress;
  readonly layout: LayoutOptions;
  readonly fanout: "pubsub" | "queue";
  /** Milliseconds. */
  readonly visibilityTimeout: number;
  /** For how long others wait for a connection that says nothing while its socket is there, ms: the visibility timeout where it was given, else 0. */
  readonly patience: number;
  readonly queueOrderStrategy: "round-robin" | "priority" | "sorted";
  /** How many replicas have what is confirmed. */
  readonly replicas: number;
}

/** With what only the URL of a Unix socket has. */
export interface OwnOptions extends RedisTransportOptions {
  /** Of a Unix socket's URL, whose path is the socket's. */
  readonly virtualHost?: string | undefined;
}

/**
 * Reads a URL and the options.
 *
 * @throws {OptionError} If an option is unknown or bad, or the virtual host is no number.
 */
export function readRedisOptions(
  url: BrokerUrl,
  options: ConnectOptions,
): RedisOptions {
  const given = readOptions<OwnOptions>(REDIS_OPTIONS, {
    url,
    transportOptions: options.transportOptions,
  });
  const isSocket = url.scheme === "redis+socket";
  if (!isSocket && given.virtualHost !== undefined) {
    throw new OptionError(
      `Cannot use the option "virtualHost": it is for Unix sockets; the database is the path of the URL, as in redis://localhost/1`,
    );
  }
  const cluster = given.cluster ?? false;
  if (cluster && (isSocket || url.scheme === "sentinel")) {
    throw new OptionError(
      `Cannot use the option "cluster" with ${url.scheme}://: it is for redis:// and rediss://`,
    );
  }
  if (!cluster && url.scheme !== "sentinel" && url.hosts.length > 1) {
    throw new OptionError(
      `Cannot use several hosts in a URL of one Redis: with ?cluster=1 they are nodes of a cluster; join the URLs of servers of which one is to be used with ";"`,
    );
  }
  const prefix = given.globalKeyPrefix ?? "";
  if (cluster && prefix.includes("{}")) {
    throw new OptionError(
      `Cannot use the globalKeyPrefix "${prefix}" in a cluster: its hash tag is empty; write a name between the braces`,
    );
  }
  const database = readDatabase(isSocket ? given.virtualHost : url.virtualHost);
  return {
    address: {
      path: isSocket ? socketPath(url) : undefined,
      hosts: url.hosts,
      tls: readTls(options.tls, url.scheme === "rediss"),
      username: url.username,
      database,
      cluster,
      sentinel: readSentinel(url, given),
    },
    layout: {
      prefix,
      sep: given.separator ?? "\x06\x16",
      steps: given.prioritySteps ?? [0, 3, 6, 9],
      highestFirst: given.priorityOrder !== "lowest-first",
      unackedKey: given.unackedKey ?? "unacked",
      unackedIndexKey: given.unackedIndexKey ?? "unacked_index",
      database,
      fanoutPrefix: given.fanoutPrefix ?? true,
      fanoutPatterns: given.fanoutPatterns ?? true,
      // A prefix with a hash tag has all in one slot.
      ...(cluster && !/\{[^}]+\}/.test(prefix) ? { sharded: true } : {}),
    },
    replicas: given.waitForReplicas ?? 0,
    fanout: given.fanout ?? "queue",
    visibilityTimeout: given.visibilityTimeout ?? 3_600_000,
    patience: given.visibilityTimeout ?? 0,
    queueOrderStrategy: given.queueOrderStrategy ?? "round-robin",
  };
}

/** As Kombu has it: nothing and `/` are 0, and one slash before the number is passed over. */
function readDatabase(virtualHost: string | undefined): number {
  const text = (virtualHost ?? "").replace(/^\//, "");
  if (text === "") return 0;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new OptionError(
    `Cannot use the virtual host "${text}" on Redis: it is the number of a database, from 0 to 15 unless the server is set up otherwise`,
  );
}

function socketPath(url: BrokerUrl): string {
  if (url.virtualHost !== undefined) return `/${url.virtualHost}`;
  throw new OptionError(
    `Cannot connect to a Unix socket without its path: write it as redis+socket:///path/to/redis.sock?virtual_host=0`,
  );
}

function readSentinel(
  url: BrokerUrl,
  given: RedisTransportOptions,
): RedisAddress["sentinel"] {
  const { masterName, sentinelUsername, sentinelPassword } = given;
  if (url.scheme !== "sentinel") {
    if (masterName === undefined) return undefined;
    throw new OptionError(
      `Cannot use the option "masterName" with ${url.scheme}://: it is for sentinel://`,
    );
  }
  if (masterName === undefined || masterName === "") {
    throw new OptionError(
      `Cannot ask a sentinel without the master's name: give transportOptions: { masterName }, or ?master_name=… in the URL`,
    );
  }
  return { masterName, username: sentinelUsername, password: sentinelPassword };
}

const FANOUT_PREFIX: OptionReader<boolean | string> = {
  urlName: "fanout_prefix",
  fromUrl: (name, value) =>
    value.startsWith("/") ? readPrefix(name, value) : readBoolean(name, value),
  fromObject: (name, value) =>
    typeof value === "boolean" ? value : readPrefix(name, value),
};

function readPrefix(name: string, value: unknown): string {
  if (
    typeof value === "string" && value.startsWith("/") && value.endsWith(".")
  ) return value;
  throw invalidOption(
    name,
    value,
    'true, false, or a text like "/{db}." that begins with "/" and ends with "."',
  );
}

const STEPS: OptionReader<readonly number[]> = {
  urlName: "priority_steps",
  fromUrl: (name, value) => readSteps(name, value.split(",").map(Number)),
  fromObject: readSteps,
};

function readSteps(name: string, value: unknown): readonly number[] {
  const right = "a list of whole numbers from 0 to 9 that ascend";
  if (!Array.isArray(value) || value.length === 0) {
    throw invalidOption(name, value, right);
  }
  const steps: number[] = [];
  for (const each of value) {
    const last = steps.at(-1) ?? -1;
    if (!Number.isInteger(each) || each > 9 || each <= last) {
      throw invalidOption(name, value, right);
    }
    steps.push(each);
  }
  return steps;
}

const STRATEGY_WORD = wordOption(
  undefined,
  ["round-robin", "priority", "sorted"] as const,
);

const STRATEGY: typeof STRATEGY_WORD = {
  urlName: "queue_order_strategy",
  // Kombu's words have an underscore.
  fromUrl: (name, value) =>
    STRATEGY_WORD.fromObject(name, value.replace("_", "-")),
  fromObject: STRATEGY_WORD.fromObject,
};

function filled(reader: OptionReader<string>): OptionReader<string> {
  return checkedOption(
    reader,
    (text) => text !== "",
    "a text that is not empty",
  );
}

/** How they are read. */
export const REDIS_OPTIONS: OptionReaders<OwnOptions> = {
  globalKeyPrefix: stringOption("global_keyprefix"),
  separator: filled(stringOption("sep")),
  prioritySteps: STEPS,
  priorityOrder: wordOption(
    "priority_order",
    ["highest-first", "lowest-first"] as const,
  ),
  queueOrderStrategy: STRATEGY,
  fanout: wordOption("fanout", ["pubsub", "queue"] as const),
  fanoutPrefix: FANOUT_PREFIX,
  fanoutPatterns: booleanOption("fanout_patterns"),
  visibilityTimeout: checkedOption(
    durationOption("visibility_timeout"),
    (ms) => ms > 0,
    "more than 0",
  ),
  unackedKey: filled(stringOption("unacked_key")),
  unackedIndexKey: filled(stringOption("unacked_index_key")),
  cluster: booleanOption("cluster"),
  waitForReplicas: integerOption("wait_for_replicas", 0, 10),
  masterName: stringOption("master_name"),
  sentinelUsername: stringOption("sentinel_username"),
  sentinelPassword: stringOption(),
  virtualHost: stringOption("virtual_host"),
};
