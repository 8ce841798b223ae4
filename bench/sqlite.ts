/** Publish and consume with ack on SQLite, beside `node:sqlite` that inserts and deletes the same rows. */

import { DatabaseSync } from "node:sqlite";
import { createConnection, Queue } from "@dashi/mq";
import { consumers } from "./consume.ts";
import { compare, rate } from "./measure.ts";
import { BODY, publishRate } from "./publish.ts";

/** Rows of one transaction of the raw client, and publishes at once of ours. */
const BATCH = 500;

const OPTIONS = { count: 10_000, rounds: 5 };

/** A row's text besides its body, as long as ours. */
const HEAD = "x".repeat(137);

/** Compares both in files of a folder of its own. */
export async function benchSqlite(): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-bench-" });
  try {
    await benchIn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function benchIn(folder: string): Promise<void> {
  const queue = new Queue("bench");
  await using connection = createConnection(`sqlite:${folder}/ours.db`);
  const producer = connection.producer({ declare: [queue] });
  await connection.declare(queue);
  const channel = await connection.channel();
  using raw = new DatabaseSync(`${folder}/raw.db`);
  raw.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  raw.exec(
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, queue INTEGER, head TEXT, body BLOB)",
  );
  const insert = raw.prepare(
    "INSERT INTO rows (queue, head, body) VALUES (1, ?, ?)",
  );
  const find = raw.prepare(
    "SELECT id, head, body FROM rows WHERE queue = 1 ORDER BY id LIMIT ?",
  );
  const remove = raw.prepare("DELETE FROM rows WHERE id = ?");
  const inBatches = (count: number, work: (size: number) => void) => {
    const began = performance.now();
    for (let i = 0; i < count; i += BATCH) {
      raw.exec("BEGIN IMMEDIATE");
      work(Math.min(BATCH, count - i));
      raw.exec("COMMIT");
    }
    return rate(count, began);
  };
  const rawPublish = (count: number) =>
    inBatches(count, (size) => {
      for (let i = 0; i < size; i++) insert.run(HEAD, BODY);
    });
  const ourPublish = (count: number) =>
    publishRate(producer, count, { routingKey: queue.name }, BATCH);
  await compare("SQLite: publish 1 KiB, synchronous=FULL", [
    {
      name: `node:sqlite, transactions of ${BATCH}`,
      run: (count) => Promise.resolve(rawPublish(count)),
    },
    { name: "dashi", run: ourPublish },
  ], OPTIONS);
  raw.exec("DELETE FROM rows");
  await channel.purgeQueue(queue.name);
  await compare("SQLite: consume 1 KiB, synchronous=FULL", [
    {
      name: `node:sqlite, SELECT and DELETE by ${BATCH}`,
      run: (count) => {
        rawPublish(count);
        return Promise.resolve(inBatches(count, (size) => {
          for (const { id } of find.all(size)) remove.run(Number(id));
        }));
      },
    },
    ...consumers(connection, queue.name).map(({ name, run }) => ({
      name: `${name}, with ack`,
      run: async (count: number) => {
        await ourPublish(count);
        return await run(count);
      },
    })),
  ], OPTIONS);
}
