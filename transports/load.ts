import { MessagingError, TransportError } from "../model/errors.ts";
import type { BrokerUrl, UrlDefaults } from "../url/broker_url.ts";
import { nearest } from "../url/nearest.ts";
import type { TransportModule } from "./transport.ts";
import { cannotLoad } from "./load_error.ts";
import {
  AMQP,
  BEANSTALK,
  COUCHDB,
  MEMORY,
  MONGODB,
  NATS,
  POSTGRES,
  REDIS,
  WEB_SOCKET,
} from "./url_defaults.ts";

/** One transport, as a scheme or an alias names it. */
export interface TransportRow {
  /** The transport's name. */
  readonly name: string;
  /** The scheme that its URLs are printed with. */
  readonly scheme: string;
  /** The parts that its URLs may leave out. */
  readonly defaults: UrlDefaults;
  /** Imports its module. */
  load(): Promise<TransportModule>;
}

const amqp: TransportRow = {
  name: "amqp",
  scheme: "amqp",
  defaults: AMQP,
  load: () => import("./amqp/mod.ts"),
};
const amqps: TransportRow = {
  ...amqp,
  scheme: "amqps",
  defaults: { ...AMQP, tls: true },
};
const amqpClient: TransportRow = {
  name: "amqp_client",
  scheme: "amqp-client",
  defaults: AMQP,
  load: () => import("./amqp_client/mod.ts"),
};
const ws: TransportRow = {
  ...amqpClient,
  scheme: "ws",
  defaults: WEB_SOCKET,
};
const wss: TransportRow = {
  ...amqpClient,
  scheme: "wss",
  defaults: { ...WEB_SOCKET, tls: true },
};
const mongodb: TransportRow = {
  name: "mongodb",
  scheme: "mongodb",
  defaults: MONGODB,
  load: () => import("./mongodb/mod.ts"),
};
const mongodbSrv: TransportRow = {
  ...mongodb,
  scheme: "mongodb+srv",
  // DNS says which ports.
  defaults: { severalHosts: true },
};
const memory: TransportRow = {
  name: "memory",
  scheme: "memory",
  defaults: MEMORY,
  load: () => import("./memory/mod.ts"),
};

const couchdb: TransportRow = {
  name: "couchdb",
  scheme: "couchdb",
  defaults: COUCHDB,
  load: () => import("./couchdb/mod.ts"),
};
const couchdbs: TransportRow = {
  ...couchdb,
  scheme: "couchdbs",
  defaults: { ...COUCHDB, tls: true },
};

const beanstalk: TransportRow = {
  name: "beanstalk",
  scheme: "beanstalk",
  defaults: BEANSTALK,
  load: () => import("./beanstalk/mod.ts"),
};
const sqs: TransportRow = {
  name: "sqs",
  scheme: "sqs",
  defaults: {},
  load: () => import("./sqs/mod.ts"),
};

const redis: TransportRow = {
  name: "redis",
  scheme: "redis",
  defaults: REDIS,
  load: () => import("./redis/mod.ts"),
};
const rediss: TransportRow = {
  ...redis,
  scheme: "rediss",
  defaults: { ...REDIS, tls: true },
};
const redisSocket: TransportRow = {
  ...redis,
  scheme: "redis+socket",
  defaults: {},
};
const sentinel: TransportRow = {
  ...redis,
  scheme: "sentinel",
  defaults: {
    hostname: "127.0.0.1",
    port: 26_379,
    severalHosts: true,
    sharesFirst: true,
  },
};

const nats: TransportRow = {
  name: "nats",
  scheme: "nats",
  defaults: NATS,
  load: () => import("./nats/mod.ts"),
};
const natsTls: TransportRow = {
  ...nats,
  scheme: "tls",
  defaults: { ...NATS, tls: true },
};

const postgres: TransportRow = {
  name: "postgres",
  scheme: "postgres",
  defaults: POSTGRES,
  load: () => import("./postgres/mod.ts"),
};
const sqlite: TransportRow = {
  name: "sqlite",
  scheme: "sqlite",
  defaults: {},
  load: () => import("./sqlite/mod.ts"),
};

/** All schemes and aliases. A map, for `constructor` is no scheme. */
export const ROWS: ReadonlyMap<string, TransportRow> = new Map([
  ["amqp", amqp],
  ["amqps", amqps],
  ["pyamqp", amqp],
  ["amqplib", amqp],
  ["amqp-client", amqpClient],
  ["amqp_client", amqpClient],
  ["pika", amqpClient],
  ["ws", ws],
  ["wss", wss],
  ["beanstalk", beanstalk],
  ["couchdb", couchdb],
  ["couchdbs", couchdbs],
  ["redis", redis],
  ["rediss", rediss],
  ["redis+socket", redisSocket],
  ["sentinel", sentinel],
  ["ioredis", redis],
  ["mongodb", mongodb],
  ["mongodb+srv", mongodbSrv],
  ["memory", memory],
  ["in-memory", memory],
  ["nats", nats],
  ["tls", natsTls],
  ["postgres", postgres],
  ["postgresql", postgres],
  ["sqlite", sqlite],
  ["sqs", sqs],
]);

/** Other names that people have for them. */
const MEANT: ReadonlyMap<string, string> = new Map([
  ["rabbitmq", "amqp"],
  ["rabbit", "amqp"],
  ["rmq", "amqp"],
  ["lavinmq", "amqp"],
  ["rabbitmqs", "amqps"],
  ["valkey", "redis"],
  ["valkeys", "rediss"],
  ["redis-sentinel", "sentinel"],
  ["unix", "redis+socket"],
  ["mongo", "mongodb"],
  ["beanstalkd", "beanstalk"],
  ["couch", "couchdb"],
  ["aws", "sqs"],
  ["jetstream", "nats"],
  ["natss", "tls"],
  ["pg", "postgres"],
  ["sqlite3", "sqlite"],
]);

/**
 * Looks a URL's scheme or an alias up, in any case.
 *
 * @param alias The scheme or alias.
 * @returns Its row, or `undefined`. Nothing is imported yet.
 */
export function knownTransport(alias: string): TransportRow | undefined {
  const row = ROWS.get(alias.toLowerCase());
  return row === undefined ? undefined : { ...row, load: () => load(row) };
}

/**
 * Finds a transport by a URL's scheme or an alias, in any case.
 *
 * @param alias The scheme or alias.
 * @returns Its row. Nothing is imported yet.
 * @throws {TransportError} If there is none.
 */
export function findTransport(alias: string): TransportRow {
  const row = knownTransport(alias);
  if (row !== undefined) return row;
  const meant = MEANT.get(alias.toLowerCase()) ?? nearest(alias, ROWS.keys());
  const right = meant === undefined
    ? `known are ${
      [...ROWS.keys()].join(", ")
    }, and one of your own by the option "transport"`
    : `did you mean "${meant}"?`;
  throw new TransportError(
    `Cannot find a transport for "${alias}": there is none; ${right}`,
    { code: "transport-unknown" },
  );
}

async function load(row: TransportRow): Promise<TransportModule> {
  try {
    return await row.load();
  } catch (cause) {
    if (cause instanceof MessagingError) throw cause;
    throw cannotLoad(row.name, cause);
  }
}

/** How long a server that is asked what it is may take, ms. */
const PATIENCE = 1000;

/**
 * Says what is wrong where a transport meets a server that speaks something else.
 *
 * @param transport The transport's name.
 * @param url The URL that it connects to.
 * @returns The server's protocol, as the end of a sentence; `undefined` if it cannot be told, or is what it should be.
 */
export async function explainWrongServer(
  transport: string,
  { hostname, port }: Pick<BrokerUrl, "hostname" | "port">,
): Promise<string | undefined> {
  const isKnown = [...ROWS.values()].some(({ name }) => name === transport);
  if (!isKnown || hostname === undefined || port === undefined) {
    return undefined;
  }
  try {
    const { whatSpeaks } = await import("./probe_client.ts");
    const protocol = await whatSpeaks(hostname, port, PATIENCE);
    if (protocol === undefined || protocol.transports.includes(transport)) {
      return undefined;
    }
    return `what answers at port ${port} speaks ${protocol.name}, for which a URL begins with ${protocol.scheme}`;
  } catch {
    return undefined; // no sockets here
  }
}
