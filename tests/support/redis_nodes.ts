/** Which node of a Redis Cluster has what. */

import { assert } from "@std/assert";
import { slotOf } from "../../transports/redis/cluster/slots.ts";
import type { RedisServer } from "../brokers/redis.ts";
import type { RedisCluster } from "../brokers/redis_cluster.ts";

/** The node that has a key's slot, and another. */
export async function nodesOf(
  cluster: RedisCluster,
  key: string,
): Promise<{ readonly holder: RedisServer; readonly other: RedisServer }> {
  const slot = slotOf(key);
  let holder: RedisServer | undefined;
  for (const node of cluster.primaries) {
    const answer = await node.command(
      "CLUSTER",
      "COUNTKEYSINSLOT",
      String(slot),
    );
    const owned = await node.command("GET", key);
    if (answer.startsWith(":") && !owned.startsWith("-")) holder = node;
  }
  const other = cluster.primaries.find((node) => node !== holder);
  assert(holder !== undefined && other !== undefined, `nobody has "${key}"`);
  return { holder, other };
}
