import { assertEquals } from "@std/assert";
import { createTransport as createMemory } from "../transports/memory/mod.ts";
import type { Capability } from "../transports/transport.ts";
import { createConnection } from "@dashi/mq";

const ALL: readonly Capability[] = [
  "dead-letter",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "known-queues",
  "lease",
  "length-limit",
  "message-ttl",
  "persistence",
  "priority",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
];

/** README's table: what each transport lacks, by its name. */
async function table(): Promise<ReadonlyMap<string, string>> {
  const text = await Deno.readTextFile(
    new URL("../README.md", import.meta.url),
  );
  const [, part = ""] = text.split(/<!-- (?:end of )?transports.*-->/);
  return new Map(
    part.trim().split("\n").slice(2).map((line) => {
      const cells = line.split("|").map((cell) => cell.trim());
      return [cells[1] ?? "", cells[8] ?? ""];
    }),
  );
}

async function lacks(url: string): Promise<string> {
  await using connection = createConnection(url);
  await connection.connect();
  return ALL.filter((each) => !connection.capabilities.has(each)).join(", ");
}

Deno.test("README's table has what memory:// lacks", async () => {
  assertEquals((await table()).get("memory"), await lacks("memory://readme"));
  assertEquals(createMemory().name, "memory");
});

/** Each transport's name, a scheme of its, and the broker it is tried on. */
const ON_BROKERS = [
  ["amqp", "amqp", "AMQP"],
  ["amqp_client", "pika", "AMQP"],
  ["beanstalk", "beanstalk", "BEANSTALK"],
  ["couchdb", "couchdb", "COUCHDB"],
  ["redis", "redis", "REDIS"],
  ["sqs", "sqs", "SQS"],
  ["mongodb", "mongodb", "MONGODB"],
] as const;

for (const [name, scheme, broker] of ON_BROKERS) {
  const url = Deno.env.get(`DASHI_TEST_${broker}_URL`);
  Deno.test({
    name: `README's table has what ${scheme}:// lacks${
      url === undefined ? " (there is no broker)" : ""
    }`,
    ignore: url === undefined,
    fn: async () => {
      const own = (url ?? "").replace(/^\w+/, scheme);
      assertEquals((await table()).get(name), await lacks(own));
    },
  });
}
