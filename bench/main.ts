// deno-lint-ignore-file no-top-level-await no-console -- a program for people
/** `deno task bench [url]`: rates beside the raw client's, by turns in one run, and what a process that has just begun takes. */

import { provideBrokers } from "../tests/brokers/mod.ts";
import { benchAmqp } from "./amqp.ts";
import { benchBeanstalk } from "./beanstalk.ts";
import { benchCold } from "./cold.ts";
import { benchCouchdb } from "./couchdb.ts";
import { benchMemory } from "./memory.ts";
import { benchMongodb } from "./mongodb.ts";
import { benchNats } from "./nats.ts";
import { benchOutbox } from "./outbox.ts";
import { benchPostgres } from "./postgres.ts";
import { benchRedis } from "./redis.ts";
import { benchRedisCluster } from "./redis_cluster.ts";
import { benchSqlite } from "./sqlite.ts";
import { benchSqs } from "./sqs.ts";

const BENCHES: Readonly<Record<string, (url: string) => Promise<void>>> = {
  AMQP: benchAmqp,
  BEANSTALK: benchBeanstalk,
  COUCHDB: benchCouchdb,
  MONGODB: benchMongodb,
  NATS: benchNats,
  POSTGRES: benchPostgres,
  REDIS: benchRedis,
  REDIS_CLUSTER: benchRedisCluster,
  SQLITE: benchSqlite,
  SQS: benchSqs,
};

const [given] = Deno.args;
if (given !== undefined) {
  const scheme = /[?&]cluster=(1|true)/.test(given)
    ? "REDIS_CLUSTER"
    : given.slice(0, given.indexOf(":")).toUpperCase();
  const bench = BENCHES[scheme] ?? BENCHES[scheme.replace(/S$/, "")];
  if (bench === undefined) {
    console.error(`There is no benchmark for "${scheme.toLowerCase()}:"`);
    Deno.exit(1);
  }
  await benchCold(given);
  await bench(given);
} else {
  await benchMemory();
  await benchSqlite();
  const brokers = await provideBrokers((line) => console.error(`# ${line}`));
  try {
    for (const [name, bench] of Object.entries(BENCHES)) {
      const url = brokers.env[`DASHI_TEST_${name}_URL`];
      if (url === undefined) continue;
      await benchCold(url);
      if (name === "AMQP") await benchCold(url.replace(/^amqp/, "amqp-client"));
      await bench(url);
    }
    const { DASHI_TEST_AMQP_URL: amqp, DASHI_TEST_POSTGRES_URL: postgres } =
      brokers.env;
    if (amqp !== undefined) await benchOutbox(amqp, postgres);
  } finally {
    await brokers.stop();
  }
}
