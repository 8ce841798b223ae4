/** Curves of Redis: the commands that it runs, and for how long it is stopped. */

import { Redis } from "ioredis";
import { Exchange, Queue } from "@dashi/mq";
import { type Curve, each, type Place } from "./curve.ts";
import { filled } from "./curves.ts";

const BODY = new Uint8Array(16);
const ON = ["redis"];

/** Lets time pass. */
function pause(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}

/** Commands that Redis ran, those of scripts included, and scripts, while something was done. */
async function counted(
  place: Place,
  work: () => Promise<unknown>,
): Promise<{ readonly commands: number; readonly scripts: number }> {
  const redis = new Redis(place.url);
  const read = async () => {
    const text = await redis.info("commandstats");
    let [commands, scripts] = [0, 0];
    for (
      const [, name = "", calls] of text.matchAll(
        /cmdstat_([^:]+):calls=(\d+)/g,
      )
    ) {
      if (name !== "info") commands += Number(calls);
      if (name === "evalsha" || name === "eval") scripts += Number(calls);
    }
    return { commands, scripts };
  };
  const before = await read();
  await work();
  const after = await read();
  redis.disconnect();
  return {
    commands: after.commands - before.commands,
    scripts: after.scripts - before.scripts,
  };
}

/** The longest that Redis was busy with one command while something was done, ms. */
async function longest(
  place: Place,
  work: () => Promise<unknown>,
): Promise<number> {
  const redis = new Redis(place.url);
  await redis.config("SET", "slowlog-log-slower-than", "500");
  await redis.call("SLOWLOG", "RESET");
  await work();
  const slow = await redis.call("SLOWLOG", "GET", "-1");
  redis.disconnect();
  if (!Array.isArray(slow)) throw new TypeError("SLOWLOG GET gives a list");
  return Math.max(0, ...slow.map((entry) => Number(entry[2]) / 1000));
}

const BLOCKED: readonly Curve[] = [
  {
    title: "the longest command while a hundred messages of n KiB are taken",
    unit: "ms",
    sizes: [1, 64, 1024],
    goal: 20,
    on: ON,
    measure: async (place, size) => {
      const body = new Uint8Array(size * 1024);
      const filling = { body, window: 10 };
      const { connection, queue, clean } = await filled(place, 100, filling);
      const consumer = connection.consumer(queue, { prefetch: 100 });
      let seen = 0;
      const took = await longest(place, () =>
        consumer.run(() => {
          if (++seen === 100) void consumer.cancel();
        }));
      await clean();
      return took;
    },
  },
  {
    title: "the longest command while n unacked messages are given back",
    unit: "ms",
    sizes: [100, 1000, 10_000],
    goal: 20,
    on: ON,
    measure: async (place, size) => {
      const { connection, queue, clean } = await filled(place, size);
      const other = connection.clone();
      let seen = 0;
      for await (const _ of other.consumer(queue, { prefetch: size })) {
        if (++seen === size) break;
      }
      const took = await longest(place, () => other.close({ drainTimeout: 1 }));
      await clean();
      return took;
    },
  },
  {
    title: "the longest command while a message goes to n queues",
    unit: "ms",
    sizes: [100, 1000, 5000],
    goal: 20,
    on: ON,
    measure: async (place, size) => {
      const connection = await place.open();
      const exchange = new Exchange(place.fresh("fanout"), { type: "fanout" });
      const queues = Array.from(
        { length: size },
        () => new Queue(place.fresh("queue"), { exchange }),
      );
      await connection.declare(queues);
      const producer = connection.producer({ exchange });
      await producer.publish(BODY);
      const took = await longest(place, () => producer.publish(BODY));
      await each(size, (i) => connection.queue(queues[i]?.name ?? "").delete());
      await connection.close();
      return took;
    },
  },
  {
    title: "the longest command while a set of n bindings is brought back",
    unit: "ms",
    sizes: [100, 1000, 5000],
    goal: 20,
    on: ON,
    measure: async (place, size) => {
      const connection = await place.open();
      const exchange = new Exchange(place.fresh("direct"), { type: "direct" });
      const queue = new Queue(place.fresh("queue"));
      await connection.declare([exchange, queue]);
      await using channel = await connection.channel();
      await each(size, (i) =>
        channel.bind({
          source: exchange.name,
          destination: { kind: "queue", name: queue.name },
          routingKey: `k.${i}`,
          arguments: {},
        }), 100);
      const producer = connection.producer({ exchange });
      const redis = new Redis(place.url);
      await redis.del(`_kombu.binding.${exchange.name}`);
      redis.disconnect();
      const took = await longest(
        place,
        () => producer.publish(BODY, { routingKey: "k.1" }),
      );
      await connection.queue(queue.name).delete();
      await channel.deleteExchange(exchange.name);
      await connection.close();
      return took;
    },
  },
];

const COUNTS: readonly Curve[] = [
  {
    title:
      "scripts of each of a hundred publishes, while n consumers come and go",
    unit: "scripts",
    sizes: [1, 10],
    goal: 1.1,
    on: ON,
    measure: async (place, size) => {
      const connection = await place.open();
      const other = connection.clone();
      const exchange = new Exchange(place.fresh("topic"), { type: "topic" });
      const queue = new Queue(place.fresh("queue"), {
        exchange,
        routingKey: "#",
      });
      await connection.declare(queue);
      const producer = connection.producer({ exchange });
      const publish = () => producer.publish(BODY, { routingKey: "a" });
      await publish();
      let scripts = 0;
      for (let i = 0; i < 100; i++) {
        const consumers = Array.from(
          { length: size },
          () => other.consumer(queue),
        );
        const running = consumers.map((each) => each.run(() => {}));
        await Promise.all(consumers.map((each) => each.cancel()));
        await Promise.all(running);
        scripts += (await counted(place, publish)).scripts;
      }
      await connection.queue(queue.name).delete();
      await Promise.all([other.close(), connection.close()]);
      return scripts / 100;
    },
  },
  {
    title: "commands a second of an idle connection that consumes n queues",
    unit: "commands/s",
    sizes: [10, 100, 1000],
    goal: "flat",
    on: ON,
    measure: async (place, size) => {
      const connection = await place.open();
      const names = Array.from({ length: size }, () => place.fresh("queue"));
      const running = names.map((name) =>
        connection.consumer(new Queue(name, { autoDelete: true })).run(() => {})
      );
      await connection.declare(
        names.map((name) => new Queue(name, { autoDelete: true })),
      );
      await pause(1000);
      const { commands } = await counted(
        place,
        () => pause(10_000),
      );
      await connection.close();
      await Promise.allSettled(running);
      return commands / 10;
    },
  },
  {
    title: "commands of a message to a queue that n connections wait for",
    unit: "commands",
    sizes: [1, 2, 4, 8],
    goal: "flat",
    on: ON,
    measure: async (place, size) => {
      const queue = new Queue(place.fresh("queue"));
      const connections = await Promise.all(
        Array.from({ length: size }, () => place.open()),
      );
      let heard: (() => void) | undefined;
      const running = connections.map((each) =>
        each.consumer(queue).run(() => heard?.())
      );
      const publisher = await place.open();
      const send = async () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        heard = resolve;
        await publisher.send(queue, BODY);
        await promise;
        await pause(20);
      };
      await each(5, send, 1);
      const { commands } = await counted(place, () => each(50, send, 1));
      await Promise.all(connections.map((each) => each.close()));
      await Promise.allSettled(running);
      await publisher.queue(queue.name).delete();
      await publisher.close();
      return commands / 50;
    },
  },
  {
    title: "scripts of each of n consumers of one queue that start and stop",
    unit: "scripts",
    sizes: [10, 100, 1000],
    goal: 3,
    on: ON,
    measure: async (place, size) => {
      const connection = await place.open();
      const queue = new Queue(place.fresh("queue"));
      await connection.declare(queue);
      await using channel = await connection.channel();
      const { scripts } = await counted(place, async () => {
        const consumers = await Promise.all(
          Array.from(
            { length: size },
            () => channel.consume(queue.name, () => {}, { prefetch: 1 }),
          ),
        );
        await Promise.all(consumers.map((each) => each[Symbol.asyncDispose]()));
      });
      await connection.queue(queue.name).delete();
      await connection.close();
      return scripts / size;
    },
  },
  {
    title: "scripts of each of n connections that start at once",
    unit: "scripts",
    sizes: [10, 50, 200],
    goal: "flat",
    on: ON,
    measure: async (place, size) => {
      const connections = await Promise.all(
        Array.from({ length: size }, () => place.open()),
      );
      const { scripts } = await counted(
        place,
        () =>
          Promise.all(connections.map((connection) =>
            connection.declare(
              new Queue(place.fresh("own"), { exclusive: true }),
            )
          )),
      );
      await Promise.all(connections.map((connection) => connection.close()));
      return scripts / size;
    },
  },
  {
    title: "commands of n publishes in flight, each, after a bind elsewhere",
    unit: "commands",
    sizes: [1, 10, 100],
    goal: "flat",
    on: ON,
    measure: async (place, size) => {
      const [connection, other] = [await place.open(), await place.open()];
      const exchange = new Exchange(place.fresh("direct"), { type: "direct" });
      const queue = new Queue(place.fresh("queue"), {
        exchange,
        routingKey: "a",
      });
      await connection.declare(queue);
      const producer = connection.producer({ exchange });
      const publish = () => producer.publish(BODY, { routingKey: "a" });
      await publish();
      await other.declare(
        new Queue(queue.name, { exchange, routingKey: "b" }),
      );
      const { commands } = await counted(place, () => each(size, publish));
      await connection.queue(queue.name).delete();
      await Promise.all([other.close(), connection.close()]);
      return commands / size;
    },
  },
];

/** All of them. */
export const REDIS_CURVES: readonly Curve[] = [...BLOCKED, ...COUNTS];
