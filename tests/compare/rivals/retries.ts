import { Queue, Worker } from "npm:bullmq@6.7.0";
import { Redis } from "npm:ioredis@6.0.0";

const [url = ""] = Deno.args;
const connection = new Redis(url, { maxRetriesPerRequest: null });
const mails = new Queue<string>("mails", {
  connection,
  defaultJobOptions: { attempts: 3, backoff: { type: "fixed", delay: 50 } },
});
for (const to of ["ada", "bad", "eve"]) await mails.add("mail", to);

const dead = Promise.withResolvers<void>();
const worker = new Worker<string>("mails", async ({ data }) => {
  if (data === "bad") throw new Error("no such mailbox");
  console.log("sent", data);
}, { connection });
worker.on("error", () => {});
worker.on("failed", (job) => {
  if (job?.attemptsMade === 3) dead.resolve();
});

await dead.promise;
const [letter] = await mails.getFailed();
console.log("dead", letter?.data, letter?.failedReason);
await letter?.remove();
await worker.close();
await mails.close();
await connection.quit();
