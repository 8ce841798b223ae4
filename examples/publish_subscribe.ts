// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** A message for all who subscribe: each subscriber has a queue of its own. */

import process from "node:process";
import { createConnection, Exchange, Queue } from "@dashi/mq";

interface News {
  readonly title: string;
}

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const news = new Exchange<News>("news", { type: "fanout" });
const mail = new Queue<News>("news.mail", { exchange: news });
const screen = new Queue<News>("news.screen", { exchange: news });

const producer = connection.producer({
  exchange: news,
  declare: [mail, screen],
});
await producer.publish({ title: "It rains" });

for (const subscriber of [mail, screen]) {
  for await (const message of connection.consumer(subscriber)) {
    console.log(`${subscriber.name}: ${message.payload.title}`);
    await message.ack();
    break;
  }
}
await connection.close();
