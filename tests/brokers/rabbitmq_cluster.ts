/** Starts a cluster of RabbitMQ of the tests' own, on loopback only. */

import { freePort } from "./ports.ts";
import { type Rabbitmq, startRabbitmq } from "./rabbitmq.ts";
import { until } from "./server.ts";

/** How long a node may take to be one of the cluster, ms. */
const MAX_JOINING = 60_000;

/** Nodes that a test may stop, kill and restart. */
export interface RabbitmqCluster extends AsyncDisposable {
  readonly nodes: readonly Rabbitmq[];
  /** Ends the application of a node while it runs on, and starts it again. */
  restartApp(node: Rabbitmq, meanwhile?: () => Promise<void>): Promise<void>;
  /** Waits until all nodes are one cluster again. */
  ready(): Promise<void>;
}

/** Starts so many nodes, and makes one cluster of them. */
export async function startRabbitmqCluster(
  size: number = 3,
): Promise<RabbitmqCluster> {
  const common = { mapper: freePort(), cookie: crypto.randomUUID() };
  const starting = await Promise.allSettled(
    Array.from({ length: size }, () => startRabbitmq(common)),
  );
  const nodes = starting.flatMap((each) =>
    each.status === "fulfilled" ? [each.value] : []
  );
  const stop = async () => {
    // One after the other: the last one ends the port mapper of all.
    for (const each of nodes) await each.stop();
  };
  const ready = async () => {
    for (const node of nodes) {
      await until(`${node.node} in its cluster`, MAX_JOINING, async () => {
        const told = await node.control(
          "eval",
          "length(rabbit_nodes:all_running()).",
        );
        return Number(told) === size;
      });
    }
  };
  try {
    for (const each of starting) {
      if (each.status === "rejected") throw each.reason;
    }
    const [first, ...others] = nodes;
    for (const each of others) {
      await each.control("stop_app");
      await each.control("join_cluster", first?.node ?? "");
      await each.control("start_app");
    }
    await ready();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    nodes,
    ready,
    async restartApp(node, meanwhile) {
      await node.control("stop_app");
      await meanwhile?.();
      await node.control("start_app");
    },
    [Symbol.asyncDispose]: stop,
  };
}
