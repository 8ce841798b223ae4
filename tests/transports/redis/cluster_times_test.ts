/** A cluster in which time changes something in a queue, while other nodes are slow or slots move. */

import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { slotOf, SLOTS } from "../../../transports/redis/cluster/slots.ts";
import {
  moveSlot,
  type RedisCluster,
  startRedisCluster,
} from "../../brokers/redis_cluster.ts";
import type { RedisServer } from "../../brokers/redis.ts";
import { until } from "../../brokers/server.ts";
import { connectTo, testAlone } from "../../support/redis.ts";

/** The two nodes that do not have the tables. */
function othersOf({ primaries }: RedisCluster): [RedisServer, RedisServer] {
  const tables = nodeOf(primaries, "dashi.topology");
  const [first, second] = primaries.filter((each) => each !== tables);
  assert(first !== undefined && second !== undefined);
  return [first, second];
}

/** The node that has a queue at first. */
function nodeOf(
  primaries: readonly RedisServer[],
  queue: string,
): RedisServer | undefined {
  return primaries.findLast((_, i) =>
    slotOf(`{${queue}}`) >= Math.floor(SLOTS * i / primaries.length)
  );
}

/** A queue's name that lies on a node. */
function nameOn(
  { primaries }: RedisCluster,
  node: RedisServer,
  title: string,
): string {
  for (let i = 0;; i++) {
    const name = `${title}-${i}`;
    if (nodeOf(primaries, name) === node) return name;
  }
}

/** Lets scripts wait, and nothing else, until the test goes on. */
async function hold(node: RedisServer): Promise<() => Promise<void>> {
  await node.command("CLIENT", "PAUSE", "60000", "WRITE");
  return async () => {
    await node.command("CLIENT", "UNPAUSE");
  };
}

/** Waits until something waits there. */
function untilHeld(node: RedisServer): Promise<void> {
  return until("A script that waits", 30_000, async () => {
    const clients = await node.command("INFO", "clients");
    return /blocked_clients:[1-9]/.test(clients);
  });
}

async function lengthOf(node: RedisServer, queue: string): Promise<string> {
  return await node.command("LLEN", `{${queue}}${queue}`);
}

testAlone(
  "in a cluster a message expires in time that comes while the answer of another node is waited for",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      const [slow, quick] = othersOf(cluster);
      const dead = new Queue(nameOn(cluster, slow, "dead"));
      const source = new Queue(nameOn(cluster, quick, "source"), {
        deadLetter: dead,
        messageTtl: 20,
      });
      await using connection = connectTo(cluster.url);
      await connection.declare([source, dead]);
      const release = await hold(slow);
      const consumer = connection.consumer<number>(dead);
      const next = consumer[Symbol.asyncIterator]().next();
      // The quick node has answered that it has nothing, or does so before it answers the rest.
      await untilHeld(slow);
      await connection.send(source, 1);
      await release();
      const { value } = await next;
      assertEquals(value?.payload, 1);
      await value?.ack();
      await consumer.close();
    } finally {
      await cluster.stop();
    }
  },
);

testAlone(
  "in a cluster a delayed message becomes ready in time that comes while the answer of another node is waited for",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      const [slow, quick] = othersOf(cluster);
      const late = new Queue(nameOn(cluster, slow, "late"));
      const early = new Queue(nameOn(cluster, quick, "early"));
      await using connection = connectTo(cluster.url);
      await connection.declare([late, early]);
      await connection.send(early, 1, { delay: 3000 });
      await connection.send(late, 1, { delay: 3000 });
      const release = await hold(slow);
      // Nobody consumes: the connection that has published them brings them into sight.
      await untilHeld(slow);
      const holds = (count: number) =>
        until(
          `A queue of ${count}`,
          30_000,
          async () => await lengthOf(quick, early.name) === `:${count}`,
        );
      await holds(1);
      await connection.send(early, 2, { delay: 100 });
      await release();
      await holds(2);
    } finally {
      await cluster.stop();
    }
  },
);

testAlone(
  "in a cluster a message expires in time in a slot that has moved while nothing was said of it",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      const [from, to] = othersOf(cluster);
      const dead = new Queue(nameOn(cluster, to, "dead"));
      const source = new Queue(nameOn(cluster, from, "source"), {
        deadLetter: dead,
        messageTtl: 20,
      });
      await using connection = connectTo(cluster.url);
      await connection.declare([source, dead]);
      const consumer = connection.consumer<string>([dead]);
      const messages = consumer[Symbol.asyncIterator]();
      const first = messages.next();
      await connection.send(source, "before");
      const { value } = await first;
      assertEquals(value?.payload, "before");
      await value?.ack();
      const second = messages.next();
      await moveSlot(cluster, slotOf(`{${source.name}}`), from, to);
      await using other = connectTo(cluster.url);
      await other.send(source, "after");
      await other.close();
      const { value: moved } = await second;
      assertEquals(moved?.payload, "after");
      await moved?.ack();
      await consumer.close();
    } finally {
      await cluster.stop();
    }
  },
);
