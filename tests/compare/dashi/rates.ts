// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const calls = new Queue<number>("calls");
await using connection = createConnection(url);
await connection.producer({ queue: calls }).publishAll([1, 2, 3, 4, 5]);

const start = performance.now();
const consumer = connection.consumer(calls);
await consumer.run(({ payload }) => {
  console.log(payload, performance.now() - start > (payload - 1) * 200);
  if (payload === 5) void consumer.cancel();
}, { rateLimit: { limit: 1, interval: 200, scope: "queue" } });
