import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { createTransport as createMemory } from "../transports/memory/mod.ts";
import type { Capability } from "../transports/transport.ts";
import { findTransport } from "../transports/load.ts";
import { createConnection } from "@dashi/mq";
import { CONFORMANCE_CASES } from "@dashi/mq/conformance";

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
  "quarantine",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
];

/** README's table: the cells of each transport, by its name. */
async function table(): Promise<ReadonlyMap<string, readonly string[]>> {
  const text = await Deno.readTextFile(
    new URL("../README.md", import.meta.url),
  );
  const [, part = ""] = text.split(/<!-- (?:end of )?transports.*-->/);
  return new Map(
    part.trim().split("\n").slice(2).map((line) => {
      const [, name = "", ...cells] = line.split("|").map((each) =>
        each.trim()
      );
      return [name, cells];
    }),
  );
}

/** The last of a transport's cells: what it lacks. */
async function lacksInTable(name: string): Promise<string | undefined> {
  return (await table()).get(name)?.[6];
}

async function lacks(url: string): Promise<string> {
  await using connection = createConnection(url);
  await connection.connect();
  return ALL.filter((each) => !connection.capabilities.has(each)).join(", ");
}

Deno.test("README's table has what memory:// lacks", async () => {
  assertEquals(await lacksInTable("memory"), await lacks("memory://readme"));
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
      assertEquals(await lacksInTable(name), await lacks(own));
    },
  });
}

Deno.test("README's table has every transport, and each of them is checked", async () => {
  const names = Object.keys(config.exports).map((entry) => entry.slice(2))
    .filter((name) =>
      config.exports[`./${name}` as keyof typeof config.exports] ===
        `./transports/${name}/mod.ts` && name !== "store"
    ).sort();
  assertEquals([...(await table()).keys()].sort(), names);
  assertEquals(["memory", ...ON_BROKERS.map(([name]) => name)].sort(), names);
});

Deno.test("README's table has the schemes that lead to each transport", async () => {
  for (const [name, [schemes = ""]] of await table()) {
    const found = [...schemes.matchAll(/`([^`]+):\/\/`/g)];
    assert(found.length > 0, name);
    for (const [, scheme = ""] of found) {
      assertEquals(findTransport(scheme).name, name);
    }
  }
});

Deno.test("README's table has the exchanges that the suite asks of every transport", async () => {
  for (const type of ["direct", "topic", "fanout", "headers"]) {
    assert(
      CONFORMANCE_CASES.some(({ name, needs, lacks }) =>
        name.startsWith(`a ${type} exchange `) && needs.length === 0 &&
        lacks.length === 0
      ),
      type,
    );
  }
  for (const [name, [, , ...types]] of await table()) {
    assertEquals([name, ...types.slice(0, 4)], [
      name,
      "yes",
      "yes",
      "yes",
      "yes",
    ]);
  }
});
