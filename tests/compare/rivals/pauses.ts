import { Queue, Worker } from "npm:bullmq@6.7.0";
import { Redis } from "npm:ioredis@6.0.0";

const [url = ""] = Deno.args;
const connection = new Redis(url, { maxRetriesPerRequest: null });
const orders = new Queue<number>("orders", { connection });
for (const order of [1, 2]) await orders.add("order", order);

const done = Promise.withResolvers<void>();
const worker = new Worker<number>("orders", async ({ data }) => {
  console.log("order", data);
  if (data === 2) return done.resolve();
  await worker.pause(true);
  console.log("paused");
  setTimeout(() => worker.resume(), 50);
}, { connection });
await done.promise;
await worker.close();
await orders.close();
await connection.quit();
