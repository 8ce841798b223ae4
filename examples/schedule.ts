// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Each tick of a clock publishes a message, once for all processes that run this. */

import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const reports = new Queue<{ kind: string }>("reports");
await connection.schedule(
  "sales",
  { every: 1000 }, // or { cron: "0 2 * * *", timezone: "Europe/Berlin" }
  { queue: reports, payload: { kind: "sales" }, missed: "skip" },
);

let left = 3;
const consumer = connection.consumer(reports);
await consumer.run(({ payload, properties }) => {
  console.log(payload.kind, properties.messageId);
  if (--left === 0) void consumer.cancel();
});
await connection.close();
