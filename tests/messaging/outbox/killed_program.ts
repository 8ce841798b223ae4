// deno-lint-ignore-file no-console no-top-level-await -- a program
/** Writes rows with messages, commits some and rolls others back, and relays what is written, until it is killed. */

import { createConnection } from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { openDatabase } from "./databases.ts";
import { type Errand, LEASE } from "./kills.ts";

const { database: url, setup, broker, queue, run, writes }: Errand = JSON.parse(
  Deno.args[0] ?? "{}",
);

// It shares the database with others that write without a pause, on a machine that may be busy.
const database = createConnection(url, {
  connectTimeout: 60_000,
  operationTimeout: 60_000,
});
const outbox = createOutbox(database);
const target = createConnection(broker);
await Promise.all([database.connect(), target.connect()]);
const relaying = outbox.relay(target, { lease: LEASE, maxInFlight: 20 });
if (writes) {
  const shop = await openDatabase(url.split("?")[0] ?? "");
  if (setup !== undefined) await shop.query(setup);
  console.log("ready");
  for (let i = 0;; i++) {
    await shop.transact(async (transaction) => {
      const id = `${run}-${i}`;
      await outbox.publish(id, {
        queue,
        messageId: `order ${id}`,
        transaction,
      });
      await shop.query(`INSERT INTO written (id) VALUES ('${id}')`);
      if (i % 5 === 4) throw new Error("rolled back");
    }).then(() => console.log("committed")).catch((error) => {
      if (error.message !== "rolled back") throw error;
    });
    // What is killed is in the middle of writing, or of publishing.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
  }
}
console.log("ready");
await relaying;
