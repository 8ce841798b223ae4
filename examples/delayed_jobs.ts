// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** A job for later waits in the broker, whatever becomes of the program. */

import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const reminders = new Queue<{ text: string }>("reminders");

await connection.send(reminders, { text: "put the kettle on" });
await connection.send(reminders, { text: "tea is ready" }, { delay: 2000 });
console.log("both are sent");

let left = 2;
const consumer = connection.consumer(reminders);
await consumer.run(({ payload }) => {
  console.log(payload.text);
  if (--left === 0) void consumer.cancel();
});
await connection.close();
