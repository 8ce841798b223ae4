// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** The web server, and the relay of its outbox beside it. */

import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { createConnection } from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { createApp } from "./app.ts";
import { orders } from "./orders.ts";

const file = process.env.SHOP ?? "./shop.db";
const database = createConnection(`sqlite:${file}`);
await database.connect();
const outbox = createOutbox(database);
const broker = createConnection(
  process.env.DASHI_URL ?? "amqp://guest:guest@localhost//",
);
const end = new AbortController();
const relaying = outbox.relay(broker, {
  declare: [orders],
  signal: end.signal,
});

const shop = new DatabaseSync(file);
const server = Deno.serve({
  port: Number(process.env.PORT ?? 8080),
  hostname: "127.0.0.1",
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}/`),
}, createApp(shop, outbox));
process.once("SIGTERM", () => server.shutdown());
await server.finished;
end.abort(); // what is on its way is waited for
await relaying;
shop.close();
await broker.close();
await database.close();
