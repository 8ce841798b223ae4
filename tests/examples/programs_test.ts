// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
/** The programs of `examples/` are those that the pages show, and do what these say. */

import { assert, assertEquals } from "@std/assert";
import { hasRedis, startRedis } from "../brokers/redis.ts";
import { findRabbitmq } from "../brokers/rabbitmq.ts";
import { nodeOfRunner } from "../brokers/rabbitmq_node.ts";
import { providePython } from "../interop/python.ts";
import { amqpPlace } from "../support/amqp_place.ts";
import { ALL, LATER } from "../support/targets.ts";
import { type Broker, playAll, redisUrlFor } from "./all_sessions.ts";
import type { Stage } from "./session.ts";
import { PAGES, programsOf, readPage, ROOT, textOf } from "./programs.ts";

for (const page of PAGES) {
  Deno.test(`${page} shows the programs of examples/ as they are`, () => {
    const programs = programsOf(readPage(page));
    assert(programs.size > 0);
    for (const [path, code] of programs) assertEquals(code, textOf(path), path);
  });
}

Deno.test("examples/README.md lists all examples, and each is shown or tested", () => {
  const text = readPage("examples/README.md");
  for (const { name } of Deno.readDirSync(new URL("examples/", ROOT))) {
    if (name !== "README.md") assert(text.includes(`](${name}`), name);
  }
});

const python = await providePython();

/** The sessions begin many processes: in memory and on RabbitMQ they are played with each run. */
const later = ALL ? "" : ` (${LATER})`;

/** For a broker that is a file. */
const WITH_FILES: Partial<Stage> = {
  runtime: [Deno.execPath(), "run", "-A", "--quiet", "--no-check"],
};

/** Plays all sessions, and holds them to the pages. */
async function hold(
  broker: Broker,
  urlFor: (name: string) => string,
  options: Partial<Stage> = {},
): Promise<void> {
  const [printed, wanted] = await playAll(broker, (name) => ({
    url: urlFor(name),
    ...options,
    ..."python" in python ? python : {},
  }));
  assertEquals(printed, wanted);
}

Deno.test("the programs print on memory what the pages say", async () => {
  await hold("memory", () => "memory://");
});

Deno.test({
  name: `the programs print in a file of SQLite what the pages say${later}`,
  ignore: !ALL,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "dashi-examples-" });
    try {
      await hold(
        "SQLite",
        (name) =>
          name === "work_queue"
            ? `sqlite:${folder}/killed.db?visibility_timeout=2`
            : `sqlite:${folder}/shared.db`,
        WITH_FILES,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "the programs print on RabbitMQ what the pages say",
  ignore: nodeOfRunner() === undefined && findRabbitmq() === undefined,
  fn: async () => {
    await using place = await amqpPlace();
    await hold("RabbitMQ", () => place.url);
  },
});

Deno.test({
  name: `the programs print on Redis what the pages say${later}`,
  ignore: !ALL || !hasRedis(),
  fn: async () => {
    const server = await startRedis();
    try {
      await hold("Redis", (name) => redisUrlFor(name, server.url));
    } finally {
      await server.stop();
    }
  },
});
