// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** A worker that ends its job before it ends: send it SIGTERM, or press Ctrl-C. */

import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { createConnection, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const reports = new Queue<{ month: string }>("monthly");
await connection.send(reports, { month: "May" });
await connection.send(reports, { month: "June" });

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    console.log(`${signal}: no more reports are begun`);
    stop.abort();
  });
}
await connection.consumer(reports).run(async ({ payload }) => {
  console.log(`${payload.month} begins`);
  await setTimeout(3000); // the work, which the signal does not end
  console.log(`${payload.month} is done`);
}, { signal: stop.signal, drainTimeout: 20_000 });

const { messageCount } = await connection.queueStatus(reports);
console.log(`${messageCount} left for another worker`);
await connection.close();
