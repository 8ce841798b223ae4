/** Curves of any broker. */

import { type Connection, Exchange, type ExchangeType, Queue } from "@dashi/mq";
import { type Curve, each, type Place, timed } from "./curve.ts";

const BODY = new Uint8Array(16);
const ALL = ["memory", "redis", "amqp"];
/** The brokers whose bindings the library keeps. */
const STORES = ["memory", "redis"];

/** Binds one queue to an exchange by so many keys, or headers. */
async function bindMany(
  connection: Connection,
  names: { readonly exchange: string; readonly queue: string },
  range: { readonly from: number; readonly to: number },
  type: ExchangeType,
): Promise<void> {
  await using channel = await connection.channel();
  await each(range.to - range.from, (i) =>
    channel.bind({
      source: names.exchange,
      destination: { kind: "queue", name: names.queue },
      routingKey: type === "headers" ? "" : `k.${range.from + i}`,
      arguments: type === "headers" ? { tenant: range.from + i } : {},
    }), 100);
}

/** An exchange with a queue, bound so often. */
async function bound(place: Place, count: number, type: ExchangeType) {
  const connection = await place.open();
  const exchange = new Exchange(place.fresh(type), { type, durable: false });
  const queue = new Queue(place.fresh("queue"), {
    exchange,
    ...(type === "headers"
      ? { bindingArguments: { tenant: -1 } }
      : { routingKey: "k.none" }),
  });
  await connection.declare(queue);
  const names = { exchange: exchange.name, queue: queue.name };
  await bindMany(connection, names, { from: 0, to: count }, type);
  const clean = async () => {
    await connection.queue(queue.name).delete();
    await using channel = await connection.channel();
    await channel.deleteExchange(exchange.name);
    await connection.close();
  };
  return { connection, exchange, queue, names, clean };
}

function publishing(type: ExchangeType): Curve {
  return {
    title: `a publish to a ${type} exchange with n bindings`,
    unit: "µs",
    sizes: [10, 100, 1000],
    goal: "flat",
    on: STORES,
    measure: async (place, size) => {
      const { connection, exchange, clean } = await bound(place, size, type);
      const producer = connection.producer({ exchange });
      const one = (i: number) =>
        producer.publish(BODY, {
          routingKey: `k.${i % size}`,
          ...(type === "headers" ? { headers: { tenant: i % size } } : {}),
        });
      await each(1000, one);
      const count = 5000;
      const took = await timed(() => each(count, one));
      await clean();
      return took / count * 1000;
    },
  };
}

function binding(type: ExchangeType): Curve {
  return {
    title: `one more binding of a ${type} exchange with n of them`,
    unit: "ms",
    sizes: [10, 100, 1000],
    goal: "flat",
    on: STORES,
    measure: async (place, size) => {
      const { connection, names, clean } = await bound(place, size, type);
      const took = await timed(async () => {
        for (let i = 0; i < 20; i++) {
          const from = size + i;
          await bindMany(connection, names, { from, to: from + 1 }, type);
        }
      });
      await clean();
      return took / 20;
    },
  };
}

/** So many queues with a consumer each, on one connection. */
async function consuming(place: Place, count: number) {
  const connection = await place.open();
  const names = Array.from({ length: count }, () => place.fresh("queue"));
  const heard = new Map<string, () => void>();
  const consumers = names.map((name) => {
    const queue = new Queue(name, { durable: false, autoDelete: true });
    return connection.consumer(queue, { prefetch: 10 });
  });
  const running: Promise<unknown>[] = [];
  const producer = connection.producer();
  const send = async (name: string) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    heard.set(name, resolve);
    await producer.publish(BODY, { routingKey: name });
    await promise;
  };
  // A consumer has begun when a message came through it.
  const start = async () => {
    for (const [i, consumer] of consumers.entries()) {
      const name = names[i] ?? "";
      running.push(consumer.run(() => heard.get(name)?.()));
    }
    await connection.declare(
      names.map((name) =>
        new Queue(name, { durable: false, autoDelete: true })
      ),
    );
    await Promise.all(names.map(send));
  };
  const close = async () => {
    await connection.close();
    await Promise.allSettled(running);
  };
  return { names, start, send, close };
}

const QUEUES: readonly Curve[] = [
  {
    title: "one message through one of n queues that a connection consumes",
    unit: "µs",
    sizes: [10, 100, 1000],
    goal: "flat",
    on: ALL,
    measure: async (place, size) => {
      const { names, start, send, close } = await consuming(place, size);
      await start();
      const count = 200;
      const took = await timed(async () => {
        for (let i = 0; i < count; i++) await send(names[i % size] ?? "");
      });
      await close();
      return took / count * 1000;
    },
  },
  {
    title: "each of n consumers of a connection to start",
    unit: "ms",
    sizes: [10, 100, 1000],
    goal: "flat",
    on: ALL,
    measure: async (place, size) => {
      const { start, close } = await consuming(place, size);
      const took = await timed(start);
      await close();
      return took / size;
    },
  },
  {
    title: "each of n consumers of a connection to close",
    unit: "ms",
    sizes: [10, 100, 1000],
    goal: "flat",
    on: ALL,
    measure: async (place, size) => {
      const { start, close } = await consuming(place, size);
      await start();
      return await timed(close) / size;
    },
  },
];

/** The result of {@linkcode filled}. */
export interface Filled {
  readonly connection: Connection;
  readonly queue: Queue;
  /** Publishes one more. */
  publish(index: number): Promise<void>;
  /** Deletes the queue, and closes the connection. */
  clean(): Promise<void>;
}

/** A queue with so many messages, of 16 bytes where none are given, and published so many at once. */
export async function filled(
  place: Place,
  count: number,
  options: {
    readonly delay?: (index: number) => number;
    readonly body?: Uint8Array;
    readonly window?: number;
  } = {},
): Promise<Filled> {
  const { body = BODY, delay, window } = options;
  const connection = await place.open();
  const queue = new Queue(place.fresh("queue"));
  const producer = connection.producer({ queue });
  await connection.declare(queue);
  const publish = (i: number) =>
    producer.publish(body, delay === undefined ? {} : { delay: delay(i) });
  await each(count, publish, window);
  const clean = async () => {
    await connection.queue(queue.name).delete();
    await connection.close();
  };
  return { connection, queue, publish, clean };
}

const DEPTHS: readonly Curve[] = [
  {
    title: "a publish to a queue with n messages",
    unit: "µs",
    sizes: [100, 1000, 10_000, 50_000],
    goal: "flat",
    on: ALL,
    measure: async (place, size) => {
      const { publish, clean } = await filled(place, size);
      const took = await timed(() => each(2000, publish));
      await clean();
      return took / 2000 * 1000;
    },
  },
  {
    title: "a message consumed and acked of a queue with n",
    unit: "µs",
    sizes: [3000, 10_000, 50_000],
    goal: "flat",
    on: ALL,
    measure: async (place, size) => {
      const { connection, queue, clean } = await filled(place, size);
      const count = 2000;
      const took = await timed(async () => {
        await using consumer = connection.consumer(queue, { prefetch: 200 });
        let seen = 0;
        await consumer.run(() => {
          if (++seen === count) void consumer.cancel();
        }, { concurrency: 200 });
      });
      await clean();
      return took / count * 1000;
    },
  },
  {
    title: "a delayed publish behind n, in mixed order",
    unit: "µs",
    sizes: [100, 1000, 10_000],
    goal: "flat",
    on: STORES,
    measure: async (place, size) => {
      const delay = (i: number) => 600_000 + (i * 7919) % 100_000;
      const { publish, clean } = await filled(place, size, { delay });
      const took = await timed(() => each(1000, publish));
      await clean();
      return took;
    },
  },
  {
    title: "an ack and the next message, with n unacked",
    unit: "µs",
    sizes: [100, 1000, 10_000],
    goal: "flat",
    on: ALL,
    measure: async (place, size) => {
      const { connection, queue, clean } = await filled(place, size + 600);
      const consumer = connection.consumer(queue, { prefetch: size });
      const held: { ack(): Promise<void> }[] = [];
      let began = 0;
      let acked = 0;
      for await (const message of consumer) {
        held.push(message);
        if (held.length < size) continue;
        if (acked === 0) began = performance.now();
        if (acked++ === 500) break;
        await held.shift()?.ack();
      }
      const took = performance.now() - began;
      await consumer.close();
      await clean();
      return took / 500 * 1000;
    },
  },
  {
    title: "each of n unacked messages to give back by close()",
    unit: "µs",
    sizes: [100, 1000, 10_000],
    goal: "flat",
    on: ALL,
    measure: async (place, size) => {
      const { connection, queue, clean } = await filled(place, size);
      const other = connection.clone();
      const consumer = other.consumer(queue, { prefetch: size });
      let seen = 0;
      for await (const { deliveryInfo } of consumer) {
        if (deliveryInfo.redelivered) throw new Error("it was given before");
        if (++seen === size) {
          const took = await timed(() => other.close({ drainTimeout: 1 }));
          await clean();
          return took / size * 1000;
        }
      }
      throw new Error("the loop ended early");
    },
  },
];

const COPIES: Curve = {
  title: "a copy of a message to n queues",
  unit: "µs",
  sizes: [10, 100, 1000],
  goal: "flat",
  on: STORES,
  measure: async (place, size) => {
    const connection = await place.open();
    const exchange = new Exchange(place.fresh("fanout"), {
      type: "fanout",
      durable: false,
    });
    const queues = Array.from(
      { length: size },
      () => new Queue(place.fresh("queue"), { exchange, durable: false }),
    );
    await connection.declare(queues);
    const producer = connection.producer({ exchange });
    await producer.publish(BODY);
    const count = Math.ceil(2000 / size);
    const took = await timed(() => each(count, () => producer.publish(BODY)));
    await each(size, (i) => connection.queue(queues[i]?.name ?? "").delete());
    await connection.close();
    return took / count / size * 1000;
  },
};

const TIMED: Curve = {
  title: "a message beside n queues whose messages expire",
  unit: "µs",
  sizes: [10, 100, 1000],
  goal: "flat",
  on: STORES,
  measure: async (place, size) => {
    const connection = await place.open();
    const names = Array.from({ length: size }, () => place.fresh("ttl"));
    const queues = names.map((name) =>
      new Queue(name, { durable: false, deadLetterExchange: "" })
    );
    await connection.declare(queues);
    await each(size, (i) =>
      connection.producer().publish(BODY, {
        routingKey: names[i] ?? "",
        expiration: 600_000,
      }));
    const lone = await consuming(place, 1);
    await lone.start();
    const count = 200;
    const took = await timed(async () => {
      for (let i = 0; i < count; i++) await lone.send(lone.names[0] ?? "");
    });
    await lone.close();
    await each(size, (i) => connection.queue(names[i] ?? "").delete());
    await connection.close();
    return took / count * 1000;
  },
};

/** All of them. */
export const CURVES: readonly Curve[] = [
  ...(["direct", "topic", "headers"] as const).map(publishing),
  ...(["direct", "headers"] as const).map(binding),
  ...QUEUES,
  ...DEPTHS,
  COPIES,
  TIMED,
];
