// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const invoices = new Queue<number>("invoices");
await using connection = createConnection(url);
const dedupe = { id: "order-7", window: 60_000 };
await connection.send(invoices, 7, { dedupe });
await connection.send(invoices, 7, { dedupe });
await connection.send(invoices, 8);

const consumer = connection.consumer(invoices);
await consumer.run(({ payload }) => {
  console.log("invoice", payload);
  if (payload === 8) void consumer.cancel();
});
