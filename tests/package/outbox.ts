/** What the package does with SQLite of each runtime: transactions, an outbox, and an inbox. */

import { attempt } from "../runtimes/npm.ts";
import type { Outcome } from "./user.ts";

const PROGRAM = `
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { createConnection, Queue } from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { createSqlInbox } from "@dashi/mq/inbox_sql";
import { inTransaction } from "@dashi/mq/sqlite";

// Bun looks for what a literal names, be it imported or not, and has no node:sqlite.
const [module, name] = globalThis.Bun
  ? ["bun:sqlite", "Database"]
  : ["node:sqlite", "DatabaseSync"];
const { [name]: Database } = await import(module);
const file = process.argv[2];
rmSync(file, { force: true });
const connection = createConnection("sqlite:" + file);
const queue = new Queue("orders");
await connection.declare(queue);
const shop = new Database(file);
await assert.rejects(
  connection.send(queue, 1, { transaction: shop }),
  /no transaction/,
);
await assert.rejects(
  inTransaction(shop, async (transaction) => {
    await connection.send(queue, "never", { transaction });
    throw new Error("rolled back");
  }),
  /rolled back/,
);
const outbox = createOutbox(connection);
await inTransaction(shop, async (transaction) => {
  await connection.send(queue, "once", { transaction });
  for (const [payload, messageId] of [["a", "1"], ["a", "1"], ["b", "2"]]) {
    await outbox.publish(payload, { queue, messageId, transaction });
  }
});
assert.equal((await connection.declare(queue)).messageCount, 1);
assert.equal((await outbox.status()).count, 3);

const broker = createConnection("memory://outbox");
const end = new AbortController();
const { signal } = end;
const relaying = outbox.relay(broker, { declare: [queue], signal });
const stock = new Database(":memory:");
stock.exec("CREATE TABLE effects (id TEXT)");
const inbox = createSqlInbox(stock, { window: 3_600_000 });
const consumer = broker.consumer(queue);
await consumer.run((message) => {
  const transaction = inbox.transactionOf(message);
  transaction.prepare("INSERT INTO effects VALUES (?)").run(message.payload);
  if (message.payload === "b") void consumer.cancel();
}, { inbox });
const rows = stock.prepare("SELECT id FROM effects").all();
assert.deepEqual(rows.map(({ id }) => id), ["a", "b"]);
end.abort();
await relaying;
assert.equal((await outbox.status()).count, 0);
await broker.close();
await connection.close();
console.log("both, or neither");
`;

/** SQLite of Node is behind a flag before 22.13. */
const WITHOUT: readonly string[] = ["node 22.12.0"];

/** Runs it in a folder where the package is installed. */
export async function* outbox(
  name: string,
  command: readonly string[],
  folder: string,
): AsyncGenerator<Outcome> {
  if (WITHOUT.includes(name)) return;
  const program = `${folder}/outbox.mjs`;
  await Deno.writeTextFile(program, PROGRAM);
  const said = await attempt([...command], program, `${folder}/shop.db`);
  const isGood = said.includes("both, or neither") && !said.includes("Error");
  yield [
    `an outbox and an inbox on SQLite by ${name}`,
    isGood ? undefined : said,
  ];
}
