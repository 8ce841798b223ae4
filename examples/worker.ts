// deno-lint-ignore-file no-top-level-await -- a program
import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";

const orders = new Queue<{ id: number }>("orders", {
  deadLetter: "orders.dead",
});
const connection = createConnection("amqp://guest:guest@localhost//");
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

await connection.send(orders, { id: 1 });
await connection.consumer(orders).run(async ({ payload, signal }) => {
  const answer = await fetch(`http://localhost:8080/orders/${payload.id}`, {
    signal,
  });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
}, { concurrency: 10, retry: { attempts: 5 }, signal: stop.signal });
await connection.close();
