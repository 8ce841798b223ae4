// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Sends a message, receives it, and ends. */

import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const greetings = new Queue<{ text: string }>("greetings");

await connection.send(greetings, { text: "Hello" });
console.log("sent: the broker has the message");

for await (const message of connection.consumer(greetings)) {
  console.log("received:", message.payload.text);
  await message.ack();
  break;
}
await connection.close();
