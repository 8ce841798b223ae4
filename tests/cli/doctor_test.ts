import { assert, assertEquals, assertMatch } from "@std/assert";
import { onTerminal } from "./running.ts";

/** What each server tells. */
const SERVERS = [
  ["AMQP", /^RabbitMQ$/, true, false],
  ["REDIS", /^(redis|valkey)$/, true, true],
  ["REDIS_CLUSTER", /^(redis|valkey)$/, true, true],
  ["BEANSTALK", /^beanstalkd$/, true, false],
  ["MONGODB", /^MongoDB$/, true, true],
  ["COUCHDB", /^CouchDB$/, true, true],
  ["NATS", /^NATS$/, true, true],
  ["POSTGRES", /^PostgreSQL$/, true, true],
  ["SQS", /^SQS$/, false, true],
] as const;

for (const [name, product, tellsVersion, tellsTime] of SERVERS) {
  const url = Deno.env.get(`DASHI_TEST_${name}_URL`);
  Deno.test({
    name:
      `dashi doctor tells what server it is, its version and its clock: ${name}${
        url === undefined ? " (there is no broker)" : ""
      }`,
    ignore: url === undefined,
    fn: () => examine(url ?? "", product, tellsVersion, tellsTime),
  });
}

async function examine(
  url: string,
  product: RegExp,
  tellsVersion: boolean,
  tellsTime: boolean,
): Promise<void> {
  const { code, out, err } = await onTerminal(["doctor", "--json"], url, 80);
  assertEquals(code, 0, err);
  // Other tests run commands beside this one, whose queues it may tell of.
  assertMatch(err, /^(dashi: left by commands that were killed, .*\n)?$/);
  const facts = JSON.parse(out);
  assertMatch(facts.product, product);
  if (tellsVersion) assertMatch(facts.version, /^\d+\.\d/);
  else assertEquals(facts.version, undefined);
  const { clockAheadInMs: ahead, clockErrorInMs: error } = facts;
  if (tellsTime) assert(Math.abs(ahead) <= error + 1, `${ahead}, ${error}`);
  else assertEquals([ahead, error], [undefined, undefined]);
  const table = await onTerminal(["doctor"], url, 200);
  assertMatch(
    table.out,
    tellsTime
      ? /clock: +\d+ ms (ahead of|behind) this machine's, give or take \d+ ms\n/
      : /clock: +not told by this broker\n/,
  );
}

Deno.test("dashi doctor tells the version of SQLite, whose clock is this machine's", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const url = `sqlite:${folder}/doctor.db`;
    await examine(url, /^SQLite$/, true, false);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("dashi doctor of a broker in the process tells no version", async () => {
  const { code, out } = await onTerminal(["doctor"], "memory://doctor", 200);
  assertEquals(code, 0);
  assertMatch(out, /version: +not told by this broker\n/);
});
