// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const events = new Queue<number>("events.fifo", { ordered: true });
await using connection = createConnection(url);
const producer = connection.producer({ queue: events });
for (const n of [1, 2, 3]) {
  for (const key of ["a", "b"]) await producer.publish(n, { key });
}

const seen = { a: "", b: "" };
let left = 6;
const consumer = connection.consumer(events);
await consumer.run(({ payload, key }) => {
  seen[key as "a" | "b"] += payload;
  if (--left === 0) void consumer.cancel();
}, { concurrency: 2 });
console.log(seen);
