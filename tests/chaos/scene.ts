/** A broker, and what goes wrong on the way to it, or with itself. */

import {
  type RedisCluster,
  startRedisCluster,
} from "../brokers/redis_cluster.ts";
import { type LastingServer, until } from "../brokers/server.ts";
import { Proxy } from "../support/proxy.ts";
import type { Fault, Random, ServerFault } from "./faults.ts";

/** The side of the network that a fault hits. */
export type Side = "sending" | "taking";

/** The place of a run: its broker, and the network. */
export interface Scene extends AsyncDisposable {
  /** The way on which nothing goes wrong. */
  readonly url: string;
  /** The ways of those that send, and of those that take. */
  readonly urls: Readonly<Record<Side, string>>;
  /** Lets it go wrong, and puts it right again. */
  happen(side: Side, random: Random): void | Promise<void>;
}

/** Both sides are behind a proxy each, on which it goes wrong. */
export function behindProxies(url: string, fault: Fault): Scene {
  const sending = Proxy.to(url);
  const taking = Proxy.to(url);
  return {
    url,
    urls: { sending: sending.urlOf(url), taking: taking.urlOf(url) },
    happen: (side, random) =>
      fault(side === "sending" ? sending : taking, random),
    async [Symbol.asyncDispose]() {
      await sending[Symbol.asyncDispose]();
      await taking[Symbol.asyncDispose]();
    },
  };
}

/** The server itself goes wrong, for both. It is the caller's. */
export function onServer(
  server: LastingServer,
  url: string,
  fault: ServerFault,
): Scene {
  return {
    url,
    urls: { sending: url, taking: url },
    happen: (_, random) => fault(server, random),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Each node of a cluster is behind a proxy, whose port it tells: it goes wrong on one of them. */
export async function behindNodes(
  { primaries }: RedisCluster,
  fault: Fault,
): Promise<Scene> {
  const proxies = primaries.map(({ url }) => Proxy.to(url));
  const announce = async (ports: readonly number[]) => {
    await Promise.all(primaries.map((node, i) => {
      const port = String(ports[i]);
      return node.command("CONFIG", "SET", "cluster-announce-port", port);
    }));
    await until("The nodes' ports", 30_000, async () => {
      const known = await Promise.all(
        primaries.map((node) => node.command("CLUSTER", "NODES")),
      );
      return known.every((nodes) =>
        ports.every((port) => nodes.includes(`:${port}@`))
      );
    });
  };
  await announce(proxies.map(({ port }) => port));
  const hosts = proxies.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const url = `redis://${hosts}/0?cluster=1`;
  return {
    url,
    urls: { sending: url, taking: url },
    happen: (_, random) => {
      const proxy = proxies[Math.floor(random() * proxies.length)];
      if (proxy !== undefined) return fault(proxy, random);
    },
    async [Symbol.asyncDispose]() {
      await announce(primaries.map(({ port }) => port));
      for (const each of proxies) await each[Symbol.asyncDispose]();
    },
  };
}

/** A cluster that keeps what it has confirmed, whose nodes may be killed. Who was killed is missed after two seconds. */
export async function withCluster(
  use: (cluster: RedisCluster, url: string) => Promise<void>,
): Promise<void> {
  const cluster = await startRedisCluster({
    replicas: false,
    arguments: [
      ...["--appendonly", "yes", "--appendfsync", "always"],
      ...["--cluster-node-timeout", "60000"],
    ],
  });
  try {
    await use(cluster, `${cluster.url}&visibility_timeout=2`);
  } finally {
    await cluster.stop();
  }
}

/** One of the nodes goes wrong. */
export function onNodes(
  { primaries }: RedisCluster,
  url: string,
  fault: ServerFault,
): Scene {
  return {
    url,
    urls: { sending: url, taking: url },
    happen: (_, random) => {
      const node = primaries[Math.floor(random() * primaries.length)];
      if (node !== undefined) return fault(node, random);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A file of SQLite, which processes share. Who was killed is missed after two seconds. */
export async function withSqliteFile(
  use: (url: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-chaos-" });
  try {
    await use(`sqlite:${folder}/chaos.db?visibility_timeout=2`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
