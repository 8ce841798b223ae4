// deno-lint-ignore-file no-top-level-await no-console -- a program for people
/**
 * `deno run -A bench/flat.ts postgres://… [COUNT]`: how large the tables of PostgreSQL are
 * while so many messages of 1 KiB (200,000 if not told otherwise) go through one queue, of
 * which a few thousand wait. The last rows are to be as the first.
 */

import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/postgres";
import { rate } from "./measure.ts";
import { BODY } from "./publish.ts";

/** So often are they looked at. */
const LOOKS = 20;

/** Publishes at once, and how many wait at the most. */
const [BATCH, WAITING] = [500, 5000];

const [url, given] = Deno.args;
if (url === undefined) {
  console.error("Name a PostgreSQL: postgres://… [COUNT]");
  Deno.exit(1);
}
const count = Number(given ?? 200_000);

const queue = new Queue(`flat_${crypto.randomUUID().slice(0, 8)}`);
await using connection = createConnection(url);
await using taking = createConnection(url);
await connection.declare(queue);
const sql = await connection.native(nativeClient);

async function sizes(): Promise<readonly string[]> {
  const { rows: [row] } = await sql.query(
    `SELECT pg_relation_size('dashi.messages') AS messages,
      pg_indexes_size('dashi.messages') AS messages_index,
      pg_relation_size('dashi.places') AS places,
      pg_indexes_size('dashi.places') AS places_index,
      (SELECT sum(autovacuum_count) FROM pg_stat_user_tables
        WHERE schemaname = 'dashi' AND relname IN ('messages', 'places')) AS vacuums`,
  );
  const mega = (name: string) => (Number(row?.[name]) / 1e6).toFixed(1);
  return [
    mega("messages"),
    mega("messages_index"),
    mega("places"),
    mega("places_index"),
    String(row?.vacuums),
  ];
}

function print(...cells: readonly (string | number)[]): void {
  console.log(cells.map((each) => String(each).padStart(12)).join(" "));
}

let taken = 0;
let goOn: (() => void) | undefined;
await using consumer = taking.consumer(queue, { prefetch: 500 });
const running = consumer.run(() => {
  taken++;
  goOn?.();
  if (taken === count) void consumer.cancel();
}, { concurrency: 500 });

print(
  "messages",
  "MB rows",
  "MB index",
  "MB places",
  "MB index",
  "vacuums",
  "a second",
);
const producer = connection.producer();
let began = performance.now();
const step = Math.ceil(count / LOOKS / BATCH) * BATCH;
for (let put = 0; put < count; put += BATCH) {
  while (put - taken > WAITING) {
    await new Promise<void>((resolve) => goOn = resolve);
  }
  const size = Math.min(BATCH, count - put);
  await Promise.all(
    Array.from(
      { length: size },
      () => producer.publish(BODY, { routingKey: queue.name }),
    ),
  );
  if ((put + BATCH) % step !== 0) continue;
  print(put + BATCH, ...await sizes(), Math.round(rate(step, began)));
  began = performance.now();
}
await running;
await connection.delete(queue);
Deno.exit(0);
