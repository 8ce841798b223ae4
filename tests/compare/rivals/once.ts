import { Queue, Worker } from "npm:bullmq@6.7.0";
import { Redis } from "npm:ioredis@6.0.0";

const [url = ""] = Deno.args;
const connection = new Redis(url, { maxRetriesPerRequest: null });
const invoices = new Queue<number>("invoices", { connection });
const deduplication = { id: "order-7", ttl: 60_000 };
await invoices.add("invoice", 7, { deduplication });
await invoices.add("invoice", 7, { deduplication });
await invoices.add("invoice", 8);

const done = Promise.withResolvers<void>();
const worker = new Worker<number>("invoices", async ({ data }) => {
  console.log("invoice", data);
  if (data === 8) done.resolve();
}, { connection });
await done.promise;
await worker.close();
await invoices.close();
await connection.quit();
