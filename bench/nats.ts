/** Publish and consume with ack on NATS JetStream, beside NATS' own client on a stream like ours. */

import { createConnection, Queue } from "@dashi/mq";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { consumers, PREFETCH } from "./consume.ts";
import { compare, rate, WINDOW } from "./measure.ts";
import { BODY, publishRate } from "./publish.ts";

const OPTIONS = { count: 10_000, rounds: 7 };

/** Compares both at a URL. */
export async function benchNats(url: string): Promise<void> {
  const { host } = new URL(url);
  const raw = await connect({ servers: host });
  const name = `bench-${crypto.randomUUID()}`;
  const manager = await jetstreamManager(raw);
  await manager.streams.add({
    name,
    subjects: [name],
    retention: "workqueue",
  });
  await manager.consumers.add(name, {
    durable_name: "bench",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: -1,
  });
  const client = jetstream(raw);
  const queue = new Queue(name);
  await using connection = createConnection(url);
  await connection.declare(queue);
  const producer = connection.producer();
  const rawPublish = async (count: number) => {
    const began = performance.now();
    for (let i = 0; i < count; i += WINDOW) {
      await Promise.all(
        Array.from({ length: WINDOW }, () => client.publish(name, BODY)),
      );
    }
    return rate(count, began);
  };
  const rawConsume = async (count: number) => {
    const consumer = await client.consumers.get(name, "bench");
    const began = performance.now();
    const messages = await consumer.consume({ max_messages: PREFETCH });
    let seen = 0;
    for await (const message of messages) {
      message.ack();
      if (++seen === count) break;
    }
    await raw.flush();
    const result = rate(count, began);
    await messages.close();
    return result;
  };
  const ourPublish = (count: number) =>
    publishRate(producer, count, { routingKey: name });
  await compare("NATS: publish 1 KiB", [
    { name: "@nats-io/jetstream", run: rawPublish },
    { name: "dashi", run: ourPublish },
  ], OPTIONS);
  await manager.streams.purge(name);
  await connection.queue(name).purge();
  await compare("NATS: consume 1 KiB with ack", [
    {
      name: "@nats-io/jetstream",
      run: async (count) => {
        await rawPublish(count);
        return await rawConsume(count);
      },
    },
    ...consumers(connection, name).map(({ name, run }) => ({
      name,
      run: async (count: number) => {
        await ourPublish(count);
        return await run(count);
      },
    })),
  ], OPTIONS);
  await connection.delete(queue);
  await manager.streams.delete(name);
  await raw.close();
}
