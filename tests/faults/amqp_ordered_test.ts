import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { findRabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";
import { CLIENTS, urlFor } from "../support/amqp.ts";
import { ALL, LATER } from "../support/targets.ts";

const why = !ALL
  ? LATER
  : findRabbitmq() === undefined
  ? "RabbitMQ is not installed"
  : undefined;

const KEYS = Array.from({ length: 400 }, (_, i) => `key-${i}`);

Deno.test({
  name: `RabbitMQ: a restart of the broker moves no key to another partition${
    why === undefined ? "" : ` (${why})`
  }`,
  ignore: why !== undefined,
  fn: async () => {
    const broker = await startRabbitmq();
    try {
      const queue = new Queue("orders", { ordered: true });
      const [first = [], ...later] = [
        await counts(broker.url, queue),
        await broker.restart("SIGTERM").then(() => counts(broker.url, queue)),
        await broker.restart("SIGKILL").then(() => counts(broker.url, queue)),
      ];
      later.forEach((each, i) => {
        assertEquals(each, first.map((count) => count * (i + 2)));
      });
    } finally {
      await broker.stop();
    }
  },
});

/** Publishes once to each key, by both clients in turn, and counts the messages of each partition. */
async function counts(broker: string, queue: Queue): Promise<number[]> {
  const connections = CLIENTS.map((client) =>
    createConnection(urlFor(client, broker))
  );
  const producers = connections.map((each) => each.producer({ queue }));
  await Promise.all(
    KEYS.map((key, i) =>
      producers[i % producers.length]?.publish(key, { key })
    ),
  );
  const found: number[] = [];
  for (let i = 1; i <= 16; i++) {
    const status = await connections[0]?.queueStatus(`${queue.name}.${i}`);
    found.push(status?.messageCount ?? 0);
  }
  await Promise.all(connections.map((each) => each.close()));
  return found;
}
