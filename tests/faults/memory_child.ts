// deno-lint-ignore-file no-console no-top-level-await -- a process of its own, whose heap is measured
/** Measures the heap: `deno run --v8-flags=--expose-gc memory_child.ts MODE URL COUNT`. Prints JSON. */

import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";

/** What a mode has grown by. */
export interface Growth {
  /** Bytes on the heap and outside of it. */
  readonly bytes: number;
  /** Sockets, timers and the like. */
  readonly resources: number;
  readonly settled: number;
}

/** Twice as many as may be in flight. */
const WORKERS = 2000;
const MIB = 1024 * 1024;

async function bytes(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    Reflect.get(globalThis, "gc")();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

function queueOf(): Queue {
  return new Queue(`dashi-memory-${crypto.randomUUID()}`, { durable: false });
}

/** Publishes to a broker that takes nothing: what waits in vain must not stay on the heap. */
async function paused(url: string, count: number): Promise<Growth> {
  const proxy = Proxy.to(url);
  const connection = createConnection(proxy.urlOf(url), { heartbeat: 0 });
  const queue = queueOf();
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(0, { routingKey: queue.name });
  proxy.stall();
  const before = await bytes();
  const left = resources().length;
  let settled = 0;
  const worker = async () => {
    for (let i = 0; i < count / WORKERS; i++) {
      const body = new Uint8Array(1024);
      const options = { routingKey: queue.name, timeout: 50 };
      await producer.publish(body, options).catch((error: unknown) => {
        if (!(error instanceof MessagingError)) throw error;
      });
      settled++;
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
  const after = await bytes();
  const growth = {
    bytes: after - before,
    resources: resources().length - left,
    settled,
  };
  await connection.close({ drainTimeout: 100 });
  await proxy[Symbol.asyncDispose]();
  await remove(url, queue);
  return growth;
}

/** Connects, publishes and closes, over and over. */
async function cycles(url: string, count: number): Promise<Growth> {
  const queue = queueOf();
  const cycle = async () => {
    const connection = createConnection(url);
    await connection.producer({ declare: [queue] }).publish(1, {
      routingKey: queue.name,
    });
    await connection.close();
  };
  return await grow(url, queue, count, cycle, () => Promise.resolve());
}

/** Has its connection cut, over and over. */
async function reconnects(url: string, count: number): Promise<Growth> {
  const proxy = Proxy.to(url);
  const queue = queueOf();
  const connection = createConnection(proxy.urlOf(url), {
    retry: { firstDelay: 1, mostDelay: 5 },
  });
  const producer = connection.producer({ declare: [queue] });
  const consumer = connection.consumer(queue, { noAck: false });
  const running = consumer.run(() => {});
  const cycle = async () => {
    await producer.publish(1, { routingKey: queue.name });
    proxy.cut();
  };
  return await grow(url, queue, count, cycle, async () => {
    await consumer.close();
    await running.catch((error: unknown) => {
      if (!(error instanceof MessagingError)) throw error;
    });
    await connection.close();
    await proxy[Symbol.asyncDispose]();
  });
}

async function grow(
  url: string,
  queue: Queue,
  count: number,
  cycle: () => Promise<void>,
  end: () => Promise<void>,
): Promise<Growth> {
  const warmUp = Math.ceil(count / 5);
  for (let i = 0; i < warmUp; i++) await cycle();
  const before = await bytes();
  const left = resources().length;
  for (let i = 0; i < count; i++) await cycle();
  const after = await bytes();
  const grown = resources().length - left;
  await end();
  await remove(url, queue);
  return { bytes: after - before, resources: grown, settled: count };
}

async function remove(url: string, queue: Queue): Promise<void> {
  const connection = createConnection(url);
  const channel = await connection.channel();
  await channel.deleteQueue(queue.name);
  await connection.close();
}

const MODES = { paused, cycles, reconnects } as const;

if (import.meta.main) {
  const [mode = "", url = "", count = ""] = Deno.args;
  const run = mode in MODES ? MODES[mode as keyof typeof MODES] : undefined;
  const growth = await run?.(url, Number(count));
  console.log(JSON.stringify(growth));
  console.error(((growth?.bytes ?? 0) / MIB).toFixed(1), "MiB");
}
