import { Queue, Worker } from "npm:bullmq@6.7.0";
import { Redis } from "npm:ioredis@6.0.0";

const [url = ""] = Deno.args;
const connection = new Redis(url, { maxRetriesPerRequest: null });
const beats = new Queue<string>("beats", { connection });
await beats.upsertJobScheduler("beat", { every: 1000 }, { data: "tick" });

let left = 2;
const done = Promise.withResolvers<void>();
const worker = new Worker<string>("beats", async ({ data }) => {
  console.log(data);
  if (--left === 0) done.resolve();
}, { connection });
await done.promise;
await beats.removeJobScheduler("beat");
await worker.close();
await beats.close();
await connection.quit();
