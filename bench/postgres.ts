/** Publish and consume with ack on PostgreSQL, beside pg with as many rows in a statement. */

import pg from "pg";
import { createConnection, Queue } from "@dashi/mq";
import { consumers } from "./consume.ts";
import { compare, rate } from "./measure.ts";
import { BODY, publishRate } from "./publish.ts";

/** Rows of one statement of the raw client, and publishes at once of ours. */
const BATCH = 500;

const OPTIONS = { count: 5000, rounds: 5 };

/** A row's text besides its body, as long as ours. */
const HEAD = "x".repeat(137);

/** Compares both at a URL. */
export async function benchPostgres(url: string): Promise<void> {
  const table = `bench_${crypto.randomUUID().replaceAll("-", "")}`;
  const raw = new pg.Client(url);
  await raw.connect();
  await raw.query(
    `CREATE TABLE ${table} (id BIGSERIAL PRIMARY KEY, head TEXT, body BYTEA)`,
  );
  const queue = new Queue(table);
  await using connection = createConnection(url);
  const producer = connection.producer({ declare: [queue] });
  await connection.declare(queue);
  const rows = Array.from(
    { length: BATCH },
    (_, i) => `($${2 * i + 1}, $${2 * i + 2})`,
  ).join(", ");
  const insert = {
    name: "insert",
    text: `INSERT INTO ${table} (head, body) VALUES ${rows}`,
    values: Array.from({ length: BATCH }, () => [HEAD, BODY]).flat(),
  };
  const take = {
    name: "take",
    text: `DELETE FROM ${table} WHERE id IN
      (SELECT id FROM ${table} ORDER BY id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED)
      RETURNING id, head, body`,
  };
  const repeat = async (count: number, query: object) => {
    const began = performance.now();
    for (let i = 0; i < count; i += BATCH) await raw.query(query);
    return rate(count, began);
  };
  const ourPublish = (count: number) =>
    publishRate(producer, count, { routingKey: queue.name }, BATCH);
  await compare("PostgreSQL: publish 1 KiB", [
    {
      name: `pg, INSERT of ${BATCH}`,
      run: (count) => repeat(count, insert),
    },
    { name: "dashi", run: ourPublish },
  ], OPTIONS);
  await raw.query(`TRUNCATE ${table}`);
  await connection.queue(queue.name).purge();
  await compare("PostgreSQL: consume 1 KiB", [
    {
      name: `pg, DELETE of ${BATCH}, SKIP LOCKED`,
      run: async (count) => {
        await repeat(count, insert);
        return await repeat(count, take);
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
  await connection.delete(queue);
  await raw.query(`DROP TABLE ${table}`);
  await raw.end();
}
