import { Queue, Worker } from "npm:bullmq@6.7.0";
import { Redis } from "npm:ioredis@6.0.0";

const [url = ""] = Deno.args;
const connection = new Redis(url, { maxRetriesPerRequest: null });
const calls = new Queue<number>("calls", { connection });
await calls.addBulk([1, 2, 3, 4, 5].map((data) => ({ name: "call", data })));

const start = performance.now();
const done = Promise.withResolvers<void>();
const worker = new Worker<number>("calls", async ({ data }) => {
  console.log(data, performance.now() - start > (data - 1) * 200);
  if (data === 5) done.resolve();
}, { connection, limiter: { max: 1, duration: 200 } });
await done.promise;
await worker.close();
await calls.close();
await connection.quit();
