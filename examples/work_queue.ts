// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Jobs, and workers that share them: `send 3` puts three into the queue, `work` does them. */

import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { createConnection, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const jobs = new Queue<{ id: number }>("jobs");
const [verb = "work", count = "3"] = process.argv.slice(2);

if (verb === "send") {
  for (let id = 1; id <= Number(count); id++) {
    await connection.send(jobs, { id });
  }
  console.log(`${count} jobs are sent`);
} else {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  console.log("waiting for jobs; Ctrl-C ends it");
  const consumer = connection.consumer(jobs, { prefetch: 1 }); // one at a time
  await consumer.run(async ({ payload }) => {
    console.log(`job ${payload.id} begins`);
    await setTimeout(1000); // the work
    console.log(`job ${payload.id} is done`);
  }, { signal: stop.signal });
}
await connection.close();
