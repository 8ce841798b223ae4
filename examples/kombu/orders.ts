// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Sends an order to a worker in Python, and waits for its receipt. */

import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const orders = new Queue<{ id: number; ordered: Date }>("orders.python");
const receipts = new Queue<{ order: number; year: number }>("receipts");

await connection.send(orders, { id: 7, ordered: new Date("2026-11-30") });
console.log("sent: order 7");

for await (const message of connection.consumer(receipts)) {
  const { order, year } = message.payload;
  console.log(`receipt of order ${order}, of ${year}`);
  await message.ack();
  break;
}
await connection.close();
