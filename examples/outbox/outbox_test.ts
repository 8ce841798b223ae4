/** The server, the relay and the worker, tested without a port and without a broker. */

import { assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { createConnection } from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { createApp } from "./app.ts";
import { orders } from "./orders.ts";
import { work } from "./work.ts";

const post = (body: unknown) =>
  new Request("http://localhost/", {
    method: "POST",
    body: JSON.stringify(body),
  });

Deno.test("an order is written with its message, relayed, and shipped once", async () => {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/shop.db`;
  await using database = createConnection(`sqlite:${file}`);
  await database.connect();
  const outbox = createOutbox(database);
  const shop = new DatabaseSync(file);
  const app = createApp(shop, outbox);
  assertEquals((await app(post({ item: "tea" }))).status, 201);
  assertEquals((await app(post({ item: 7 }))).status, 400);
  assertEquals(shop.prepare("SELECT id FROM orders").all().length, 1);
  assertEquals((await outbox.status()).count, 1);

  await using broker = createConnection("memory://shop-example");
  const stock = new DatabaseSync(":memory:");
  const end = new AbortController();
  const { signal } = end;
  const working = work(broker, stock, () => {}, signal);
  const relaying = outbox.relay(broker, { declare: [orders], signal });
  const shipped = () => stock.prepare("SELECT id, item FROM shipped").all();
  while (shipped().length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  end.abort();
  await Promise.all([working, relaying]);
  assertEquals(shipped().map((row) => ({ ...row })), [{ id: 1, item: "tea" }]);
  shop.close();
  stock.close();
  await database.close();
  await Deno.remove(folder, { recursive: true });
});
