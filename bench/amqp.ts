/** Publish with confirm and consume with ack on RabbitMQ, beside raw amqplib. */

import { Buffer } from "node:buffer";
import { connect } from "amqplib";
import { createConnection, Queue } from "@dashi/mq";
import { compare, type Contender, rate } from "./measure.ts";

const BODY = new Uint8Array(1024).fill(97);
const PREFETCH = 200;
const WINDOW = 1000;

/** Compares both at a URL. */
export async function benchAmqp(url: string): Promise<void> {
  const name = `dashi-bench-${crypto.randomUUID()}`;
  const queue = new Queue(name);
  const raw = await connect(url.replace(/\/\/$/, ""));
  const channel = await raw.createConfirmChannel();
  await channel.assertQueue(name, { durable: true });
  await using connection = createConnection(url);
  await using producer = connection.producer({ declare: [queue] });
  await connection.connect();

  const rawPublish = async (count: number, same = false) => {
    const body = Buffer.from(BODY);
    const began = performance.now();
    for (let i = 0; i < count; i += WINDOW) {
      await Promise.all(Array.from(
        { length: Math.min(WINDOW, count - i) },
        () =>
          new Promise<void>((resolve, reject) => {
            channel.sendToQueue(
              name,
              body,
              // What the library adds by itself: the broker reads it too.
              same
                ? {
                  persistent: true,
                  mandatory: true,
                  headers: { n: "x" },
                  messageId: crypto.randomUUID(),
                  contentType: "application/data",
                  contentEncoding: "binary",
                }
                : { persistent: true, headers: { n: "x" } },
              (error) => error ? reject(error) : resolve(),
            );
          }),
      ));
    }
    return rate(count, began);
  };
  const ourPublish = async (count: number, mandatory?: boolean) => {
    const began = performance.now();
    for (let i = 0; i < count; i += WINDOW) {
      await Promise.all(Array.from(
        { length: Math.min(WINDOW, count - i) },
        () =>
          producer.publish(BODY, {
            routingKey: name,
            headers: { n: "x" },
            mandatory,
          }),
      ));
    }
    return rate(count, began);
  };
  const purge = () => channel.purgeQueue(name);
  const publishers: Contender[] = [
    {
      name: "amqplib, same properties",
      run: (count) => purge().then(() => rawPublish(count, true)),
    },
    {
      name: "amqplib, bare",
      run: (count) => purge().then(() => rawPublish(count)),
    },
    { name: "dashi", run: (count) => purge().then(() => ourPublish(count)) },
    {
      name: "dashi, not mandatory",
      run: (count) => purge().then(() => ourPublish(count, false)),
    },
  ];
  await compare("RabbitMQ: publish 1 KiB, persistent, confirmed", publishers, {
    count: 20_000,
    rounds: 7,
  });

  const rawConsume = async (count: number) => {
    const own = await raw.createChannel();
    await own.prefetch(PREFETCH);
    const { promise, resolve } = Promise.withResolvers<void>();
    let seen = 0;
    const began = performance.now();
    await own.consume(name, (message) => {
      if (message === null) return;
      own.ack(message);
      if (++seen === count) resolve();
    });
    await promise;
    const result = rate(count, began);
    await own.close();
    return result;
  };
  const ourConsume = async (count: number) => {
    await using consumer = connection.consumer(name, { prefetch: PREFETCH });
    let seen = 0;
    const began = performance.now();
    await consumer.run((message) => {
      if (message.body.length === 0) throw new Error("empty");
      if (++seen === count) void consumer.cancel();
    }, { concurrency: PREFETCH });
    return rate(count, began);
  };
  const ourLoop = async (count: number) => {
    const consumer = connection.consumer(name, { prefetch: PREFETCH });
    let seen = 0;
    const began = performance.now();
    for await (const message of consumer) {
      void message.ack();
      if (++seen === count) break;
    }
    const result = rate(count, began);
    await consumer[Symbol.asyncDispose]();
    return result;
  };
  const filled = (run: (count: number) => Promise<number>) =>
  async (
    count: number,
  ) => {
    await purge();
    await rawPublish(count);
    return await run(count);
  };
  await compare("RabbitMQ: consume 1 KiB with ack", [
    { name: "amqplib", run: filled(rawConsume) },
    { name: "dashi, run()", run: filled(ourConsume) },
    { name: "dashi, for await", run: filled(ourLoop) },
  ], { count: 20_000, rounds: 7 });
  await channel.deleteQueue(name);
  await raw.close();
}
