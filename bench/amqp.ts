/** Publish with confirm and consume with ack on RabbitMQ, by each client, beside that client raw. */

import { createConnection, Queue } from "@dashi/mq";
import { consumers, PREFETCH } from "./consume.ts";
import { compare, type Contender } from "./measure.ts";
import { openAmqplib } from "./raw_amqplib.ts";
import { openCloudamqp } from "./raw_cloudamqp.ts";
import { BODY, publishRate } from "./publish.ts";
import type { RawClient } from "./raw_client.ts";

/** Compares all at a URL. */
export async function benchAmqp(url: string): Promise<void> {
  await benchClient(url, "amqplib", openAmqplib);
  await benchClient(url, "pika", openCloudamqp);
}

async function benchClient(
  url: string,
  transport: string,
  open: (url: string, queue: string) => Promise<RawClient>,
): Promise<void> {
  const name = `dashi-bench-${crypto.randomUUID()}`;
  const raw = await open(url, name);
  await using connection = createConnection(url, { transport });
  await using producer = connection.producer({ declare: [new Queue(name)] });
  await connection.connect();

  const ourPublish = (count: number, mandatory?: boolean) =>
    publishRate(producer, count, {
      routingKey: name,
      headers: { n: "x" },
      mandatory,
    });
  const publishers: Contender[] = [
    {
      name: `${raw.name}, same properties`,
      run: (count) => raw.publish(BODY, count, true),
    },
    {
      name: `${raw.name}, bare`,
      run: (count) => raw.publish(BODY, count, false),
    },
    { name: "dashi", run: (count) => ourPublish(count) },
    { name: "dashi, not mandatory", run: (count) => ourPublish(count, false) },
  ];
  const emptied = publishers.map(({ name, run }) => ({
    name,
    run: (count: number) => raw.purge().then(() => run(count)),
  }));
  const sizes = { count: 20_000, rounds: 7 };
  await compare(
    `RabbitMQ by ${raw.name}: publish 1 KiB, persistent, confirmed`,
    emptied,
    sizes,
  );

  const filled = (run: (count: number) => Promise<number>) =>
  async (
    count: number,
  ) => {
    await raw.purge();
    await raw.publish(BODY, count, false);
    return await run(count);
  };
  await compare(`RabbitMQ by ${raw.name}: consume 1 KiB with ack`, [
    { name: raw.name, run: filled((count) => raw.consume(count, PREFETCH)) },
    ...consumers(connection, name).map(({ name, run }) => ({
      name,
      run: filled(run),
    })),
  ], sizes);
  await raw.close();
}
