import { createConnection } from "@dashi/mq";
import { checkNumbers } from "./support/inspection_table.ts";

/** Each broker's URL, and its column. RabbitMQ needs its management API: `tests/transports/amqp/management_test.ts`. */
const BROKERS = [
  ["memory", "memory://numbers"],
  ["PostgreSQL", Deno.env.get("DASHI_TEST_POSTGRES_URL")],
  ["NATS", Deno.env.get("DASHI_TEST_NATS_URL")],
  ["SQLite", "sqlite::memory:"],
  ["Redis", Deno.env.get("DASHI_TEST_REDIS_URL")],
  ["MongoDB", Deno.env.get("DASHI_TEST_MONGODB_URL")],
  ["SQS", Deno.env.get("DASHI_TEST_SQS_URL")],
  ["beanstalkd", Deno.env.get("DASHI_TEST_BEANSTALK_URL")],
  ["CouchDB", Deno.env.get("DASHI_TEST_COUCHDB_URL")],
] as const;

for (const [broker, url] of BROKERS) {
  Deno.test({
    name: `${broker} tells the numbers that docs/inspection.md says${
      url === undefined ? " (there is no broker)" : ""
    }`,
    ignore: url === undefined,
    fn: () => check(broker, url ?? ""),
  });
}

async function check(broker: string, url: string): Promise<void> {
  await using connection = createConnection(url);
  await checkNumbers(connection, broker);
}
