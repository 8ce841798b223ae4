// deno-lint-ignore-file no-top-level-await no-console -- a program for people
/**
 * `deno run -A --no-lock bench/postgres_rivals.ts postgres://…`: consume and ack of 1 KiB beside pg-boss
 * and graphile-worker, by turns in one run. Both are fetched from npm for it, and make
 * schemas of their own, which are dropped behind.
 *
 * All of them hand a message out again where its process dies: pg-boss by its two calls for
 * many jobs, without a pause between them; graphile-worker by its runner, as it is and with
 * its local queue and its batches of completed jobs, which is its fastest way.
 */

import pg from "pg";
import { createConnection, Queue } from "@dashi/mq";
import { consumers, PREFETCH } from "./consume.ts";
import { compare, type Contender, rate } from "./measure.ts";
import { publishRate } from "./publish.ts";

/** By names that nothing else looks at: nobody else needs these packages. */
const load = (name: string) => import(name);
const { default: PgBoss } = await load("npm:pg-boss@10.4.2");
const { run, runMigrations } = await load("npm:graphile-worker@0.17.3");

const OPTIONS = { count: 5000, rounds: 5 };

const PAYLOAD = { text: "a".repeat(1024) };

const [url] = Deno.args;
if (url === undefined) {
  console.error("Name a PostgreSQL: postgres://…");
  Deno.exit(1);
}

const sql = new pg.Client(url);
await sql.connect();

const queue = new Queue(`rivals_${crypto.randomUUID().slice(0, 8)}`);
await using connection = createConnection(url);
await connection.declare(queue);
const producer = connection.producer();
const ours = consumers(connection, queue.name).map(({ name, run }) => ({
  name,
  run: async (count: number) => {
    await publishRate(producer, count, { routingKey: queue.name }, 500);
    return await run(count);
  },
}));

const boss = new PgBoss({ connectionString: url, schema: "bench_boss" });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("bench");

async function bossRate(count: number): Promise<number> {
  for (let i = 0; i < count; i += 500) {
    await boss.insert(
      Array.from({ length: 500 }, () => ({ name: "bench", data: PAYLOAD })),
    );
  }
  const began = performance.now();
  for (let seen = 0; seen < count;) {
    const jobs = await boss.fetch("bench", { batchSize: PREFETCH }) ?? [];
    await boss.complete(
      "bench",
      jobs.map(({ id }: { readonly id: string }) => id),
    );
    seen += jobs.length;
  }
  return rate(count, began);
}

const schema = "bench_graphile";
const common = {
  connectionString: url,
  schema,
  noHandleSignals: true,
};
await runMigrations(common);

async function graphileRate(
  count: number,
  worker: Readonly<Record<string, unknown>>,
): Promise<number> {
  for (let i = 0; i < count; i += 500) {
    await sql.query(
      `SELECT count(*) FROM ${schema}.add_jobs(ARRAY(
        SELECT ROW('bench', $1::json, NULL, NULL, NULL, NULL, NULL, NULL)::${schema}.job_spec
          FROM generate_series(1, 500)))`,
      [JSON.stringify(PAYLOAD)],
    );
  }
  const { promise: all, resolve } = Promise.withResolvers<void>();
  let seen = 0;
  const began = performance.now();
  const runner = await run({
    ...common,
    concurrency: worker.localQueue === undefined ? 24 : PREFETCH,
    maxPoolSize: 24,
    pollInterval: 1000,
    taskList: {
      bench: () => {
        if (++seen === count) resolve();
      },
    },
    preset: { worker },
  });
  await all;
  // The last of them are removed when it stops.
  await runner.stop();
  return rate(count, began);
}

const contenders: readonly Contender[] = [
  { name: "pg-boss, fetch, complete", run: bossRate },
  { name: "graphile-worker", run: (count) => graphileRate(count, {}) },
  {
    name: "graphile-worker, batches",
    run: (count) =>
      graphileRate(count, {
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
      }),
  },
  ...ours,
];
await compare("PostgreSQL: consume and ack 1 KiB", contenders, OPTIONS);

await connection.delete(queue);
await boss.stop({ graceful: false });
await sql.query(
  `DROP SCHEMA bench_boss CASCADE; DROP SCHEMA ${schema} CASCADE`,
);
await sql.end();
Deno.exit(0);
