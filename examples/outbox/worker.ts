// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** The worker: each order is shipped exactly once in its own database. */

import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { createConnection } from "@dashi/mq";
import type { Order } from "./orders.ts";
import { work } from "./work.ts";

const connection = createConnection(
  process.env.DASHI_URL ?? "amqp://guest:guest@localhost//",
);
const stock = new DatabaseSync(process.env.STOCK ?? "./stock.db");
const end = new AbortController();
process.once("SIGTERM", () => end.abort());
const ship = ({ id, item }: Order) => console.log(`order ${id}: ${item}`);
await work(connection, stock, ship, end.signal);
await connection.close();
stock.close();
