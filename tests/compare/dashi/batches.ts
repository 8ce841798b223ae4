// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const rows = new Queue<number>("rows");
await using connection = createConnection(url);
await connection.producer({ queue: rows }).publishAll([1, 2, 3, 4, 5]);

const calls = new Map<number, number>();
const consumer = connection.consumer(rows);
await consumer.runBatches(async (messages) => {
  for (const message of messages) {
    const call = (calls.get(message.payload) ?? 0) + 1;
    calls.set(message.payload, call);
    if (message.payload !== 3 || call > 1) await message.ack();
  }
  if (calls.size === 5 && calls.get(3) === 2) return void consumer.cancel();
  throw new Error("messages that are not acked are tried again");
}, { size: 10, retry: { backoff: 0 } });
for (const [row, times] of [...calls].sort()) console.log(row, times);
