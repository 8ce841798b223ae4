// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** The web server: it puts jobs into the queue, and answers at once. */

import process from "node:process";
import { createConnection } from "@dashi/mq";
import { createApp } from "./app.ts";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
await connection.connect(); // a server without its broker does not start

const server = Deno.serve({
  port: Number(process.env.PORT ?? 8080),
  hostname: "127.0.0.1",
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}/`),
}, createApp(connection));
process.once("SIGTERM", () => server.shutdown());
await server.finished; // the requests under way are answered
await connection.close();
