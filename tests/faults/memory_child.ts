// deno-lint-ignore-file no-console no-top-level-await -- a process of its own, whose heap is measured
/** Measures the heap: `deno run --v8-flags=--expose-gc memory_child.ts URL COUNT`. Prints JSON. */

import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { Proxy } from "../support/proxy.ts";

/** The calls that wait in vain. */
export interface Load {
  /** Bytes on the heap and outside of it. */
  readonly bytes: number;
  readonly settled: number;
}

/** Twice as many as may be in flight. */
const WORKERS = 2000;

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
async function paused(url: string, count: number): Promise<Load> {
  const proxy = Proxy.to(url);
  const connection = createConnection(proxy.urlOf(url), { heartbeat: 0 });
  const queue = queueOf();
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(0, { routingKey: queue.name });
  proxy.stall();
  const before = await bytes();
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
  await connection.close({ drainTimeout: 100 });
  await proxy[Symbol.asyncDispose]();
  await remove(url, queue);
  return { bytes: after - before, settled };
}

async function remove(url: string, queue: Queue): Promise<void> {
  const connection = createConnection(url);
  const channel = await connection.channel();
  await channel.deleteQueue(queue.name);
  await connection.close();
}

if (import.meta.main) {
  const [url = "", count = ""] = Deno.args;
  console.log(JSON.stringify(await paused(url, Number(count))));
}
