/** Starts a Redis Cluster of the tests' own, on loopback only. */

import { REDIS, type RedisServer, startRedis } from "./redis.ts";
import { type BrokerRow, freePort, type Server, until } from "./server.ts";

/** How many slots a cluster has. */
const SLOTS = 16_384;

/** A cluster, whose nodes a test may stop, kill and restart. */
export interface RedisCluster extends Server {
  /** The nodes that were primaries at first. */
  readonly primaries: readonly RedisServer[];
  /** Their replicas, in the same order. */
  readonly replicas: readonly RedisServer[];
}

const { startLasting: _, ...SINGLE } = REDIS;

/** A cluster of three nodes without replicas: what a replica is good for has tests of its own. */
export const REDIS_CLUSTER: BrokerRow = {
  ...SINGLE,
  name: "REDIS_CLUSTER",
  title: "Redis Cluster",
  service: "redis-cluster",
  serviceUrl: "redis://127.0.0.1:7000/0?cluster=1",
  servicePort: 7000,
  tests: /redis.?cluster/i,
  // One of its nodes tells of the others.
  start: async () => {
    const cluster = await startRedisCluster({
      replicas: false,
      // On a busy machine a node may be silent for seconds; none is dead.
      arguments: ["--cluster-node-timeout", "60000"],
    });
    return { ...cluster, url: cluster.url.replace(/,[^/]*/, "") };
  },
};

/** Starts three primaries, each with a replica if not told otherwise, and waits until all know each other. */
export async function startRedisCluster(
  { replicas: hasReplicas = true, arguments: more = [] }: {
    readonly replicas?: boolean;
    /** Of all nodes. */
    readonly arguments?: readonly string[];
  } = {},
): Promise<RedisCluster> {
  const nodes: RedisServer[] = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  try {
    const buses: number[] = [];
    const settled = await Promise.allSettled(
      Array.from({ length: hasReplicas ? 6 : 3 }, async () => {
        const bus = freePort();
        nodes.push(await startNode(bus, more));
        buses.push(bus);
      }),
    );
    for (const each of settled) {
      if (each.status === "rejected") throw each.reason;
    }
    const primaries = nodes.slice(0, 3);
    const replicas = nodes.slice(3);
    const [first] = primaries;
    if (first === undefined) throw new Error("there is no node");
    await Promise.all(primaries.map((node, i) =>
      node.command(
        ...["CLUSTER", "ADDSLOTSRANGE"],
        String(Math.floor(SLOTS * i / 3)),
        String(Math.floor(SLOTS * (i + 1) / 3) - 1),
      )
    ));
    const address = ["127.0.0.1", String(first.port), String(buses[0])];
    // A handshake that is not over within the node timeout is forgotten, as on a busy machine.
    let metAt = -Infinity;
    const meet = async () => {
      if (performance.now() - metAt < 1000) return;
      metAt = performance.now();
      for (const node of nodes.slice(1)) {
        await node.command("CLUSTER", "MEET", ...address);
      }
    };
    await until("The nodes of the cluster", 60_000, async () => {
      const answers = await Promise.all(
        nodes.map((each) => each.command("CLUSTER", "NODES")),
      );
      const areMet = answers.every((answer) =>
        answer.match(/^\w{40} /gm)?.length === nodes.length &&
        !/ (?:handshake|noaddr) /.test(answer.replaceAll(",", " "))
      );
      if (!areMet) await meet();
      return areMet;
    });
    await Promise.all(replicas.map(async (node, i) => {
      const primary = await primaries[i]?.command("CLUSTER", "MYID");
      const id = primary?.split("\r\n").at(-1) ?? "";
      await until(
        "A replica",
        60_000,
        async () =>
          (await node.command("CLUSTER", "REPLICATE", id)).startsWith("+OK"),
      );
    }));
    await until("The cluster", 60_000, async () => {
      const answers = await Promise.all(nodes.map(async (each, i) => {
        const info = await each.command("CLUSTER", "INFO");
        const role = await each.command("INFO", "replication");
        return info.includes("cluster_state:ok") &&
          (i < 3
            ? role.includes(`connected_slaves:${hasReplicas ? 1 : 0}`)
            : role.includes("master_link_status:up"));
      }));
      return answers.every(Boolean);
    });
    const hosts = primaries.map(({ port }) => `127.0.0.1:${port}`).join(",");
    return {
      url: `redis://${hosts}/0?cluster=1`,
      primaries,
      replicas,
      kill: async () => {
        await Promise.all(nodes.map((node) => node.kill()));
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One that is behind a failover in seconds, and forgets nothing that a replica has. */
function startNode(
  bus: number,
  more: readonly string[],
): Promise<RedisServer> {
  return startRedis({
    arguments: [
      ...["--appendonly", "no", "--cluster-enabled", "yes"],
      // A port and 10,000 may be none.
      ...["--cluster-port", String(bus)],
      ...["--cluster-node-timeout", "2000"],
      ...["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"],
      ...more,
    ],
  });
}

/** Moves a slot from one primary to another, keys and all, while others use it. */
export async function moveSlot(
  { primaries }: RedisCluster,
  slot: number,
  from: RedisServer,
  to: RedisServer,
  between?: () => Promise<void>,
): Promise<void> {
  const idOf = async (node: RedisServer) =>
    (await node.command("CLUSTER", "MYID")).split("\r\n").at(-1) ?? "";
  const [source, target] = [await idOf(from), await idOf(to)];
  const name = String(slot);
  await to.command("CLUSTER", "SETSLOT", name, "IMPORTING", source);
  await from.command("CLUSTER", "SETSLOT", name, "MIGRATING", target);
  await between?.();
  for (;;) {
    const keys = (await from.command("CLUSTER", "GETKEYSINSLOT", name, "1"))
      .split("\r\n").slice(1).filter((_, i) => i % 2 === 1);
    if (keys.length === 0) break;
    const host = ["127.0.0.1", String(to.port)];
    await from.command("MIGRATE", ...host, "", "0", "5000", "KEYS", ...keys);
  }
  const others = primaries.filter((node) => node !== to && node !== from);
  for (const node of [to, from, ...others]) {
    await node.command("CLUSTER", "SETSLOT", name, "NODE", target);
  }
}
