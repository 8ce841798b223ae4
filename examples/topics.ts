// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Each subscriber gets the messages whose routing keys fit its pattern. */

import process from "node:process";
import { createConnection, Exchange, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const logs = new Exchange<string>("logs", { type: "topic" });
const errors = new Queue<string>("logs.errors", {
  exchange: logs,
  routingKey: "*.error", // one word, then "error"
});
const shop = new Queue<string>("logs.shop", {
  exchange: logs,
  routingKey: "shop.#", // "shop", and whatever follows
});

const producer = connection.producer({
  exchange: logs,
  declare: [errors, shop],
});
await producer.publish("disk full", { routingKey: "mail.error" });
await producer.publish("sold a cap", { routingKey: "shop.info" });
await producer.publish("no stock", { routingKey: "shop.error" }); // fits both

for (const queue of [errors, shop]) {
  let left = 2;
  for await (const message of connection.consumer(queue)) {
    const { payload, deliveryInfo } = message;
    console.log(`${queue.name}: ${deliveryInfo.routingKey}: ${payload}`);
    await message.ack();
    if (--left === 0) break;
  }
}
await connection.close();
