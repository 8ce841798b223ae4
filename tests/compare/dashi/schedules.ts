// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const beats = new Queue<string>("beats");
await using connection = createConnection(url);
const payload = "tick";
await connection.schedule("beat", { every: 1000 }, { queue: beats, payload });

let left = 2;
const consumer = connection.consumer(beats);
await consumer.run(({ payload }) => {
  console.log(payload);
  if (--left === 0) void consumer.cancel();
});
await connection.unschedule("beat");
