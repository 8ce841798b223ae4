/** Publish and consume with ack on MongoDB, beside the raw driver: one by one, many at once, and in bulk. */

import { MongoClient } from "mongodb";
import { createConnection, Queue } from "@dashi/mq";
import { consumers } from "./consume.ts";
import { compare, rate, WINDOW } from "./measure.ts";
import { BODY } from "./publish.ts";

/** Sorting is in memory on the tests' stand-in: a deep queue measures that alone. */
const OPTIONS = { count: 2000, rounds: 5 };

/** Compares both at a URL. */
export async function benchMongodb(url: string): Promise<void> {
  const name = `dashi-bench-${crypto.randomUUID()}`;
  const client = await new MongoClient(url, { maxPoolSize: 10 }).connect();
  const messages = client.db().collection("messages", {
    writeConcern: { w: "majority" },
  });
  await using connection = createConnection(url);
  await connection.connect();
  const producer = connection.producer({ declare: [new Queue(name)] });
  await producer.publish(BODY, { routingKey: name, headers: { n: "x" } });
  /** The size of 1 KiB as we store it: an envelope, its body in base64. */
  const payload = String((await messages.findOne({ queue: name }))?.payload);
  const document = () => ({ payload, queue: name, priority: 9 });
  const purge = () => messages.deleteMany({ queue: name });

  const inWindows = async (
    count: number,
    send: (size: number) => Promise<unknown>,
  ) => {
    await purge();
    const began = performance.now();
    for (let i = 0; i < count; i += WINDOW) {
      await send(Math.min(WINDOW, count - i));
    }
    return rate(count, began);
  };
  const each = (size: number, send: () => Promise<unknown>) =>
    Promise.all(Array.from({ length: size }, send));
  await compare("MongoDB: publish 1 KiB, majority", [
    {
      name: "driver, insertOne at once",
      run: (count) =>
        inWindows(
          count,
          (size) => each(size, () => messages.insertOne(document())),
        ),
    },
    {
      name: "driver, insertMany of 1,000",
      run: (count) =>
        inWindows(
          count,
          (size) => messages.insertMany(Array.from({ length: size }, document)),
        ),
    },
    {
      name: "dashi",
      run: (count) =>
        inWindows(count, (size) =>
          each(
            size,
            () =>
              producer.publish(BODY, {
                routingKey: name,
                headers: { n: "x" },
              }),
          )),
    },
  ], OPTIONS);

  const rawTake = async (count: number, atOnce: number) => {
    const began = performance.now();
    let left = count;
    await each(atOnce, async () => {
      while (left-- > 0) {
        await messages.findOneAndDelete({ queue: name }, {
          sort: { priority: 1 },
        });
      }
    });
    return rate(count, began);
  };
  const filled = (run: (count: number) => Promise<number>) =>
  async (
    count: number,
  ) => {
    await purge();
    await messages.insertMany(Array.from({ length: count }, document));
    return await run(count);
  };
  await compare("MongoDB: consume 1 KiB", [
    {
      name: "driver, findOneAndDelete",
      run: filled((count) => rawTake(count, 1)),
    },
    { name: "driver, ten at once", run: filled((count) => rawTake(count, 10)) },
    ...consumers(connection, name).map(({ name, run }) => ({
      name: `${name}, with ack`,
      run: filled(run),
    })),
  ], OPTIONS);
  await (await connection.channel()).deleteQueue(name);
  await client.close();
}
