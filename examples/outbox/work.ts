/** The worker's part that a test calls, too. */

import type { DatabaseSync } from "node:sqlite";
import type { Connection } from "@dashi/mq";
import { createSqlInbox } from "@dashi/mq/inbox_sql";
import { type Order, orders } from "./orders.ts";

/** Ships orders until its signal aborts; a copy of a message ships nothing. */
export async function work(
  connection: Connection,
  stock: DatabaseSync,
  onShipping: (order: Order) => void,
  signal?: AbortSignal,
): Promise<void> {
  stock.exec(
    "CREATE TABLE IF NOT EXISTS shipped (id INTEGER NOT NULL, item TEXT NOT NULL)",
  );
  const inbox = createSqlInbox(stock, { window: 7 * 86_400_000 });
  await connection.consumer(orders).run((message) => {
    const { id, item } = message.payload;
    inbox.transactionOf(message).prepare(
      "INSERT INTO shipped (id, item) VALUES (?, ?)",
    ).run(id, item);
    onShipping(message.payload);
  }, { inbox, retry: { attempts: 5 }, signal });
}
