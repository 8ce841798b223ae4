import type { CallOptions } from "../../model/call_options.ts";
import {
  ConnectionError,
  NotFoundError,
  UnsupportedError,
} from "../../model/errors.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import type { ServerInfo } from "../server_info.ts";
import type { ConnectOptions } from "../transport.ts";
import { INVALIDATE } from "./socket/arrivals.ts";
import { type Caller, RedisClient } from "./client.ts";
import {
  type NodeAddress,
  readSlots,
  type SlotRange,
} from "./cluster/slots.ts";
import { decode, valuesIn } from "./reply.ts";
import type { Dial } from "./socket/dial.ts";
import type { RedisAddress } from "./options.ts";

/** The two sockets of a connection. */
export interface Sockets {
  /** For commands and scripts. */
  readonly commands: RedisClient;
  /** For what the server says unasked. */
  readonly listener: RedisClient;
  /** The number of that one, if the server tells it. */
  readonly socket: number | undefined;
  /** Whether the server tells of changes. */
  readonly rings: boolean;
}

/**
 * Connects once: finds the master, if a sentinel is to tell, dials it twice, and logs in.
 *
 * @throws {AuthenticationError} If the server refuses the user.
 * @throws {NotFoundError} If it has no such database, or a sentinel no such master.
 * @throws {UnsupportedError} If it is a node of a cluster, or too old.
 * @throws {ConnectionError} If it cannot be reached, or is no master.
 * @throws {TimeoutError} If it does not answer by the deadline.
 */
export async function connect(
  url: BrokerUrl,
  address: RedisAddress,
  options: ConnectOptions,
): Promise<Sockets> {
  const limits = { signal: options.signal, deadline: options.deadline };
  const { base, password } = await dialTo(url, address, options);
  const { hostname, port } = address.sentinel === undefined
    ? address.hosts[0] ?? {}
    : await findMaster(base, address, address.sentinel, limits);
  const dial = {
    ...base,
    hostname: hostname ?? "127.0.0.1",
    port: port ?? 6379,
  };
  return await openBoth(dial, { password, options, address }, limits);
}

/** What is the same for all servers of a URL. */
async function dialTo(
  url: BrokerUrl,
  address: RedisAddress,
  options: ConnectOptions,
): Promise<{
  readonly base: Omit<Dial, "hostname" | "port">;
  readonly password: string | undefined;
}> {
  const broker = formatUrl(url);
  const base = {
    broker,
    path: address.path,
    tls: withServername(address),
    isNode: address.cluster,
    isAlone: !address.cluster && address.sentinel === undefined &&
      options.hasOthers !== true,
    heartbeat: options.heartbeat,
    maxResponseSize: options.maxResponseSize ?? MAX_RESPONSE,
    silence: options.operationTimeout,
    clock: options.clock,
  };
  return { base, password: url.password ?? await options.password?.() };
}

/** Dials a server twice, and logs in. */
async function openBoth(
  dial: Dial,
  login: Omit<Login, "broker">,
  limits: CallOptions,
): Promise<Sockets> {
  const { broker } = dial;
  const open: RedisClient[] = [];
  const openOne = async () => {
    const client = await RedisClient.open(dial, limits);
    open.push(client);
    await logIn(client, { broker, ...login }, limits);
    return client;
  };
  const opening = [openOne(), openOne()] as const;
  try {
    const [commands, listener] = await Promise.all(opening);
    await examine(commands, dial, limits);
    const socket = await subscribe(listener, limits);
    const rings = socket !== undefined && await track(commands, socket, limits);
    return { commands, listener, socket, rings };
  } catch (error) {
    await Promise.allSettled(opening);
    await Promise.all(open.map((client) => client[Symbol.asyncDispose]()));
    throw error;
  }
}

function withServername({ tls, hosts }: RedisAddress): RedisAddress["tls"] {
  const name = hosts[0]?.hostname;
  return tls === undefined || tls.servername !== undefined ||
      name === undefined || isAddress(name)
    ? tls
    : { ...tls, servername: name };
}

/** An IP address is no name to be asked for. */
function isAddress(name: string): boolean {
  return name.includes(":") || /^[\d.]+$/.test(name);
}

/** As whom to log in, and for what. */
interface Login {
  readonly broker: string;
  readonly password: string | undefined;
  readonly options: ConnectOptions;
  readonly address: RedisAddress;
}

async function logIn(
  client: RedisClient,
  { broker, password, options, address }: Login,
  limits: CallOptions,
): Promise<void> {
  const action = `connect to "${broker}"`;
  const { username, database } = address;
  if (username !== undefined || password !== undefined) {
    const user = username === undefined ? [] : [username];
    await client.send(action, ["AUTH", ...user, password ?? ""], limits);
  }
  // The first one is selected already: a user who may not choose needs no other.
  if (database !== 0) await client.send(action, ["SELECT", database], limits);
  // Names may not have spaces.
  const name = options.name?.replace(/[^!-~]+/g, "-");
  if (name !== undefined && name !== "") {
    await client.ask(action, ["CLIENT", "SETNAME", name], limits);
  }
}

/** Looks what kind of server it is. */
async function examine(
  client: RedisClient,
  { broker, isNode }: Dial,
  limits: CallOptions,
): Promise<void> {
  const action = `connect to "${broker}"`;
  // A user without the right to INFO goes on without the version.
  const info = decode(await client.ask(action, ["INFO"], limits) ?? "");
  const value = valuesIn(info);
  const refuse = (why: string) =>
    new ConnectionError(`Cannot ${action}: ${why}`, {
      code: "connection-failed",
      outcome: "not-sent",
    });
  if (value("cluster_enabled") === "1" && !isNode) {
    throw new UnsupportedError(
      `Cannot ${action}: it is a node of a Redis Cluster; write ?cluster=1 behind the URL, or transportOptions: { cluster: true }`,
      { outcome: "not-sent" },
    );
  }
  const [major = 0, minor = 0] = (value("redis_version") ?? "99").split(".")
    .map(Number);
  if (major < 6 || (major === 6 && minor < 2)) {
    throw new UnsupportedError(
      `Cannot ${action}: it is Redis ${
        value("redis_version")
      }; 6.2 is the oldest that can be used`,
      { outcome: "not-sent" },
    );
  }
  if (value("loading") === "1") {
    throw refuse("the server is still loading its data");
  }
  if (value("role") === "slave") {
    throw refuse(
      `the server is a replica, which takes no messages; its master is ${
        value("master_host")
      }:${value("master_port")}`,
    );
  }
}

/**
 * Subscribes to what the server tells of changed keys.
 *
 * @returns The socket's number, by which another names it in {@linkcode track}; `undefined` if the server does not let us.
 */
async function subscribe(
  listener: RedisClient,
  options: CallOptions,
): Promise<number | undefined> {
  const action = "listen for changes";
  const id = await listener.ask(action, ["CLIENT", "ID"], options);
  if (typeof id !== "number") return undefined;
  const told = await listener.ask(action, ["SUBSCRIBE", INVALIDATE], options);
  return told === undefined ? undefined : id;
}

/** Asks the server to tell a listening client when keys change that a client's scripts read. */
async function track(
  client: RedisClient,
  listener: number,
  options: CallOptions,
): Promise<boolean> {
  const action = "watch for changes";
  // Our own changes we know already (`NOLOOP`).
  const tracks = await client.ask(action, [
    ...["CLIENT", "TRACKING", "ON", "REDIRECT"] as const,
    ...[String(listener), "OPTIN", "NOLOOP"],
  ], options);
  if (tracks === undefined) return false; // a proxy, or an old server
  // Each call that is to be watched asks for it: where it may not, nothing is.
  const caches = ["CLIENT", "CACHING", "YES"] as const;
  const may = await client.ask(action, caches, options);
  return client.watching = may !== undefined;
}

/** Asks the server what it is. A user may lack the right to that. */
export async function askServer(
  client: Caller,
  options?: CallOptions,
): Promise<ServerInfo> {
  const action = "ask the server what it is";
  const [info, time] = await Promise.all([
    client.ask(action, ["INFO", "server"], options),
    client.ask(action, ["TIME"], options),
  ]);
  const value = valuesIn(decode(info ?? ""));
  const [seconds, micros] = Array.isArray(time)
    ? time.map((each) => Number(decode(each)))
    : [];
  return {
    // Valkey says so beside the version of Redis that it is like.
    product: value("server_name") ?? (info === undefined ? undefined : "redis"),
    version: value("valkey_version") ?? value("redis_version"),
    time: seconds === undefined || micros === undefined
      ? undefined
      : seconds * 1000 + micros / 1000,
  };
}

/** The nodes of a cluster, and which slots they have. */
export interface ClusterDialer {
  /** Opens the sockets to a node. */
  open(node: NodeAddress, limits: CallOptions): Promise<Sockets>;
  /** Asks a node that is named in the URL, any that answers. */
  seek(limits: CallOptions): Promise<readonly SlotRange[]>;
}

/** Dials the nodes of a cluster. */
export function dialCluster(
  url: BrokerUrl,
  address: RedisAddress,
  options: ConnectOptions,
): ClusterDialer {
  return {
    open: async (node, limits) => {
      const { base, password } = await dialTo(url, address, options);
      const login = { password, options, address };
      return await openBoth({ ...base, ...node }, login, limits);
    },
    seek: async (limits) => {
      const { base, password } = await dialTo(url, address, options);
      const login = { broker: base.broker, password, options, address };
      const { hosts } = address;
      return await askAny(base, hosts, 6379, limits, async (client, ...by) => {
        const [limits, hostname] = by;
        await logIn(client, login, limits);
        return await readSlots(client, hostname, limits);
      });
    },
  };
}

/** Asks the sentinels for the address of the master. */
async function findMaster(
  base: Omit<Dial, "hostname" | "port">,
  { hosts }: RedisAddress,
  sentinel: NonNullable<RedisAddress["sentinel"]>,
  limits: CallOptions,
): Promise<NodeAddress> {
  const { masterName, username, password } = sentinel;
  const action = `ask a sentinel for the master "${masterName}"`;
  return await askAny(base, hosts, 26_379, limits, async (client, limits) => {
    if (password !== undefined) {
      const user = username === undefined ? [] : [username];
      await client.send(action, ["AUTH", ...user, password], limits);
    }
    const answer = await client.send(action, [
      ...["SENTINEL", "GET-MASTER-ADDR-BY-NAME"] as const,
      masterName,
    ], limits);
    if (Array.isArray(answer)) {
      return { hostname: decode(answer[0]), port: Number(decode(answer[1])) };
    }
    throw new NotFoundError(
      `Cannot ${action}: it knows no master of this name`,
      { outcome: "not-sent" },
    );
  });
}

/** Asks servers in their order, until one knows. Each has its share of the time: behind a silent one there may be one that answers. */
async function askAny<T>(
  base: Omit<Dial, "hostname" | "port">,
  hosts: RedisAddress["hosts"],
  usualPort: number,
  { signal, deadline = Infinity }: CallOptions,
  ask: (
    client: RedisClient,
    limits: CallOptions,
    hostname: string,
  ) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  // The last share is for what the answer leads to.
  let shares = hosts.length + 1;
  for (const { hostname = "127.0.0.1", port = usualPort } of hosts) {
    const now = base.clock.now();
    const limits = { signal, deadline: now + (deadline - now) / shares-- };
    let client: RedisClient | undefined;
    try {
      client = await RedisClient.open({ ...base, hostname, port }, limits);
      return await ask(client, limits, hostname);
    } catch (error) {
      if (signal?.aborted) throw error;
      failure = error;
    } finally {
      await client?.[Symbol.asyncDispose]();
    }
  }
  throw failure;
}
