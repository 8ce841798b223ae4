// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** The worker: as many of them as there is work for. */

import process from "node:process";
import { createConnection } from "@dashi/mq";
import { work } from "./work.ts";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());

await work(connection, async ({ picture, width }) => {
  console.log(`${picture} is ${width} pixels wide now`);
  await Promise.resolve(); // the work
}, stop.signal);
await connection.close();
