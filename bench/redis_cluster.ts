/** A Redis Cluster of three nodes beside a single Redis on the same machine. */

import { createConnection, Exchange, Queue } from "@dashi/mq";
import { startRedis } from "../tests/brokers/redis.ts";
import { consumers } from "./consume.ts";
import { compare, type Contender } from "./measure.ts";
import { publishRate } from "./publish.ts";

/** Compares them; the cluster is at a URL, and keeps nothing on the disk, as the single one. */
export async function benchRedisCluster(url: string): Promise<void> {
  const single = await startRedis({ arguments: ["--appendonly", "no"] });
  try {
    const sides = [
      await prepare("a single Redis", single.url),
      await prepare("the cluster", url),
    ];
    const options = { count: 20_000, rounds: 7 };
    const work = async (
      title: string,
      run: (side: Side) => readonly Contender[],
    ) => {
      await compare(`Redis Cluster: ${title}`, sides.flatMap(run), options);
    };
    await work("publish 1 KiB to a queue", (side) => [{
      name: side.name,
      run: (count) => side.publish(count, ""),
    }]);
    await work("publish 1 KiB to an exchange", (side) => [{
      name: side.name,
      run: (count) => side.publish(count, side.exchange),
    }]);
    await work("consume 1 KiB with ack", (side) => [{
      name: side.name,
      run: async (count) => {
        await side.publish(count, "");
        return await side.consume(count);
      },
    }]);
    for (const side of sides) await side.close();
  } finally {
    await single.stop();
  }
}

interface Side {
  readonly name: string;
  readonly exchange: string;
  /** Into an empty queue. */
  publish(count: number, exchange: string): Promise<number>;
  consume(count: number): Promise<number>;
  close(): Promise<void>;
}

async function prepare(name: string, url: string): Promise<Side> {
  const connection = createConnection(url);
  const id = `dashi-bench-${crypto.randomUUID()}`;
  const exchange = new Exchange(id, { type: "topic" });
  const queue = new Queue(id, {
    bindings: [{ exchange, routingKey: "#", arguments: {} }],
  });
  const producer = connection.producer({ declare: [queue] });
  await connection.declare(queue);
  const channel = await connection.channel();
  const [first] = consumers(connection, id);
  if (first === undefined) throw new Error("there is no way to consume");
  return {
    name,
    exchange: id,
    publish: async (count, exchange) => {
      await channel.purgeQueue(id);
      return await publishRate(producer, count, { exchange, routingKey: id });
    },
    consume: first.run,
    close: async () => {
      await channel.deleteQueue(id);
      await channel.deleteExchange(id);
      await connection.close();
    },
  };
}
