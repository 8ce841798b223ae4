// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const jobs = new Queue<{ id: number }>("jobs");
await using connection = createConnection(url);
const producer = connection.producer({ queue: jobs });
await producer.publishAll([{ id: 1 }, { id: 2 }, { id: 3 }]);

const consumer = connection.consumer(jobs, { prefetch: 10 });
await consumer.run(({ payload }) => {
  console.log("done", payload.id);
  if (payload.id === 3) void consumer.cancel();
});
