// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const events = new Queue("events");
await using connection = createConnection(url);
await connection.send(events, 7, { type: "order.created" });
await connection.send(events, "Ada", { type: "user.renamed" });

const consumer = connection.consumer(events);
await consumer.route<{ "order.created": number; "user.renamed": string }>({
  "order.created": ({ payload }) => console.log("order", payload),
  "user.renamed": ({ payload }) => {
    console.log("user", payload);
    void consumer.cancel();
  },
});
