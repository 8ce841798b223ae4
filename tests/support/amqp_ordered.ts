/** Ordered queues for tests of RabbitMQ. */

import {
  type ClassicQueueOptions,
  type Connection,
  createConnection,
  Queue,
} from "@dashi/mq";
import { take } from "../conformance/stage.ts";
import { type Client, test } from "./amqp.ts";

/** How many partitions the queues have. */
export const PARTITIONS = 4;
/** The keys of the messages. */
export const KEYS: readonly string[] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/** An ordered queue with a name of its own. */
export function ordered(
  options: ClassicQueueOptions = {},
): Queue {
  return new Queue(`dashi-ordered-${crypto.randomUUID()}`, {
    ordered: { partitions: PARTITIONS },
    ...options,
  });
}

/** A test with a queue that is deleted behind it. */
export function testQueue(
  name: string,
  run: (queue: Queue, connection: Connection, client: Client) => Promise<void>,
  options?: ClassicQueueOptions,
): void {
  test(name, async (client) => {
    const queue = ordered(options);
    await using connection = createConnection(client.url, {
      onUnhandled: () => {},
    });
    try {
      await run(queue, connection, client);
    } finally {
      await using cleaner = createConnection(client.url);
      await cleaner.delete(queue.name);
    }
  });
}

/** How many messages lie in each partition. */
export async function counts(
  connection: Connection,
  { name }: Queue,
): Promise<number[]> {
  const found: number[] = [];
  for (let i = 1; i <= PARTITIONS; i++) {
    found.push((await connection.queueStatus(`${name}.${i}`)).messageCount);
  }
  return found;
}

/** Takes so many messages, acks them, and lists their keys and payloads, key by key. */
export async function takeAll(
  connection: Connection,
  queue: Queue | string,
  count: number,
): Promise<Record<string, number[]>> {
  const seen: Record<string, number[]> = {};
  for (const message of await take(connection.consumer<number>(queue), count)) {
    (seen[message.key ?? ""] ??= []).push(message.payload);
    await message.ack();
  }
  return seen;
}

/** For each of the keys so many numbers, as they were published. */
export function inOrder(count: number): Record<string, number[]> {
  const numbers = () => Array.from({ length: count }, (_, i) => i);
  return Object.fromEntries(KEYS.map((key) => [key, numbers()]));
}

/** Publishes so many messages to each key. */
export async function publishAll(
  connection: Connection,
  queue: Queue | string,
  count: number,
): Promise<void> {
  const producer = typeof queue === "string"
    ? connection.producer<number>({ routingKey: queue })
    : connection.producer<number>({ queue });
  const all: Promise<void>[] = [];
  for (let i = 0; i < count; i++) {
    for (const key of KEYS) all.push(producer.publish(i, { key }));
  }
  await Promise.all(all);
}
