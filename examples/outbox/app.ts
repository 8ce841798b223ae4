/** The server's answers: an order and its message are written in one transaction. */

import type { DatabaseSync } from "node:sqlite";
import type { Outbox } from "@dashi/mq/outbox";
import { inTransaction } from "@dashi/mq/sqlite";
import { type Order, orders } from "./orders.ts";

/** Makes the handler of requests. */
export function createApp(
  shop: DatabaseSync,
  outbox: Outbox,
): (request: Request) => Promise<Response> {
  shop.exec(
    "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)",
  );
  return async (request) => {
    if (request.method !== "POST") return new Response(null, { status: 405 });
    const { item } = await request.json().catch(() => ({}));
    if (typeof item !== "string") return new Response(null, { status: 400 });
    const order = await inTransaction(shop, async (transaction) => {
      const row = shop.prepare(
        "INSERT INTO orders (item) VALUES (?) RETURNING id",
      ).get(item);
      const order: Order = { id: Number(row?.id), item };
      await outbox.publish(order, { queue: orders, transaction });
      return order;
    });
    return Response.json(order, { status: 201 }); // the broker may be away
  };
}
