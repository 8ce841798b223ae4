// deno-lint-ignore-file no-console no-top-level-await -- a program
/**
 * A side of `pairs.ts`: `FOLDER URL BYTES`. For each line, a job and a count, it prints the
 * processor's microseconds a message.
 */
import process from "node:process";
import { createInterface } from "node:readline";

const [folder, url = "", bytes] = Deno.args;
const { createConnection, Queue } = await import(
  `${folder}/mod.ts`
) as typeof import("../mod.ts");

const connection = createConnection(url);
const queue = new Queue(`pairs-${crypto.randomUUID()}`);
await connection.declare(queue);
const producer = connection.producer({ declare: [queue] });
const options = { routingKey: queue.name };
const body = new Uint8Array(Number(bytes)).fill(97);

/** So many wait for their answers at once. */
const WINDOW = 500;

async function publish(count: number): Promise<void> {
  for (let left = count; left > 0; left -= WINDOW) {
    const waiting: Promise<void>[] = [];
    for (let i = 0; i < Math.min(WINDOW, left); i++) {
      waiting.push(producer.publish(body, options));
    }
    await Promise.all(waiting);
  }
}

async function run(count: number): Promise<void> {
  const end = new AbortController();
  let left = count;
  const consumer = connection.consumer(queue, { prefetch: 200 });
  await consumer.run(() => {
    if (--left === 0) end.abort();
  }, { signal: end.signal, concurrency: 50 });
  await consumer.close();
}

async function iterate(count: number): Promise<void> {
  let left = count;
  const consumer = connection.consumer(queue, { prefetch: 200 });
  const acks: Promise<void>[] = [];
  for await (const message of consumer) {
    acks.push(message.ack());
    if (--left === 0) break;
  }
  await Promise.all(acks);
  await consumer.close();
}

const JOBS: Record<string, (count: number) => Promise<void>> = {
  publish,
  run,
  iterate,
};

for await (const line of createInterface({ input: process.stdin })) {
  const [job = "", count] = line.split(" ");
  const { user, system } = process.cpuUsage();
  await JOBS[job]?.(Number(count));
  const spent = process.cpuUsage({ user, system });
  console.log((spent.user + spent.system) / Number(count));
}
await connection.delete(queue);
await connection.close();
Deno.exit(0);
