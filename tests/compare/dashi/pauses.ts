// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const orders = new Queue<number>("orders");
await using connection = createConnection(url);
for (const order of [1, 2]) await connection.send(orders, order);

const consumer = connection.consumer(orders);
await consumer.run(async ({ payload }) => {
  console.log("order", payload);
  if (payload === 2) return void consumer.cancel();
  await consumer.pause();
  console.log("paused");
  setTimeout(() => consumer.resume(), 50);
});
