// deno-lint-ignore-file no-top-level-await -- a program of its own
/** A program whose spans and metrics Deno itself exports: started with `OTEL_DENO=true`. */

import { createConnection, Exchange, Queue } from "@dashi/mq";
import { telemetry } from "@dashi/mq/telemetry";

const [url = "memory://", id = ""] = Deno.args;
const events = new Exchange(`events-${id}`, { type: "topic" });
const orders = new Queue<string>(`orders-${id}`, {
  exchange: events,
  routingKey: "order.#",
});
const rows = new Queue<number>(`rows-${id}`);
const sums = new Queue<number>(`sums-${id}`);
const failed = `${orders.name}.failed`;

const connection = createConnection(url);
connection.use(await telemetry({ depthOf: [rows] }));
const producer = connection.producer({ exchange: events, declare: [orders] });

const consumer = connection.consumer(orders);
let calls = 0;
const running = consumer.run(async ({ payload }) => {
  if (payload === "bad") {
    if (++calls === 4) void consumer.cancel();
    throw new RangeError("the password is hunter2");
  }
  for (let row = 0; row < 3; row++) await connection.send(rows, row);
}, { retry: { attempts: 4, backoff: 0 } });
await producer.publish("good", { routingKey: "order.paid" });
await producer.publish("bad", {
  routingKey: "order.lost",
  correlationId: "conversation",
});
await running;

await connection.redrive(failed, { to: orders });
const queue = connection.queue<string>(orders);
await (await queue.get())?.ack();
for await (const row of connection.consumer(rows)) {
  await row.ack();
  break;
}
const batches = connection.consumer(rows);
await batches.runBatches(() => void batches.cancel(), {
  size: 2,
  wait: 60_000,
});

await connection.declare(sums);
const server = connection.consumer(sums);
const serving = server.serve(({ payload }) => payload + 1);
await connection.request(1, { routingKey: sums.name });
await server.cancel();
await serving;

await connection.send(rows, 7); // stays, and is the depth
const [, , wait] = Deno.args;
if (wait !== undefined) {
  await fetch(wait, { signal: AbortSignal.timeout(30_000) });
}
for (const name of [orders, rows, sums, failed]) await connection.delete(name);
await connection.delete(events);
await connection.close();
