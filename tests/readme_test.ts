import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { createTransport as createMemory } from "../transports/memory/mod.ts";
import type { Capability } from "../transports/transport.ts";
import { findTransport } from "../transports/load.ts";
import { createConnection } from "@dashi/mq";
import { CONFORMANCE_CASES } from "@dashi/mq/conformance";
import { textOf } from "./examples/programs.ts";

/** The lines of one of README's tables, by their first cells. */
async function table(
  name: "transports" | "capabilities",
): Promise<ReadonlyMap<string, readonly string[]>> {
  const text = await Deno.readTextFile(
    new URL("../README.md", import.meta.url),
  );
  const [, part = ""] = text.split(
    new RegExp(`<!-- (?:end of )?${name}.*-->`),
  );
  return new Map(
    part.trim().split("\n").filter((_, i) => i !== 1).map((line) => {
      const [, first = "", ...cells] = line.split("|").map((each) =>
        each.trim()
      );
      return [first.replaceAll("`", ""), cells];
    }),
  );
}

/** Reads from README's table the capabilities of a broker, beside those that all of them have. */
async function inTable(broker: string): Promise<readonly string[]> {
  const lines = await table("capabilities");
  const column = lines.get("")?.indexOf(broker) ?? -1;
  assert(column >= 0, broker);
  return [...lines].filter(([first]) => first !== "")
    .filter(([, cells]) => cells[column] === "✓")
    .map(([first]) => /\(([a-z-]+)\)$/.exec(first)?.[1] ?? first).sort();
}

/** All of them can these, and need no line in the table; a lease is how, and not what. */
const WITHOUT_LINE: readonly Capability[] = ["dead-letter", "delay", "lease"];

async function can(url: string): Promise<readonly string[]> {
  await using connection = createConnection(url);
  await connection.connect();
  assert(connection.capabilities.has("dead-letter"));
  assert(connection.capabilities.has("delay"));
  return [...connection.capabilities]
    .filter((each) => !WITHOUT_LINE.includes(each)).sort();
}

Deno.test("README's table has what memory:// can", async () => {
  assertEquals(await inTable("memory"), await can("memory://readme"));
  assertEquals(createMemory().name, "memory");
});

/** Each transport's name, a scheme of its, the broker it is tried on, and its column. */
const ON_BROKERS = [
  ["amqp", "amqp", "AMQP", "RabbitMQ"],
  ["amqp_client", "pika", "AMQP", "RabbitMQ"],
  ["beanstalk", "beanstalk", "BEANSTALK", "beanstalkd"],
  ["couchdb", "couchdb", "COUCHDB", "CouchDB"],
  ["redis", "redis", "REDIS", "Redis"],
  ["sqs", "sqs", "SQS", "SQS"],
  ["mongodb", "mongodb", "MONGODB", "MongoDB"],
  ["postgres", "postgres", "POSTGRES", "PostgreSQL"],
  ["nats", "nats", "NATS", "NATS"],
] as const;

for (const [, scheme, broker, column] of ON_BROKERS) {
  const url = Deno.env.get(`DASHI_TEST_${broker}_URL`);
  Deno.test({
    name: `README's table has what ${scheme}:// can${
      url === undefined ? " (there is no broker)" : ""
    }`,
    ignore: url === undefined,
    fn: async () => {
      const own = (url ?? "").replace(/^\w+/, scheme);
      assertEquals(await inTable(column), await can(own));
    },
  });
}

Deno.test("README's table has what sqlite: can", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dashi-readme-" });
  const url = `sqlite:${folder}/readme.db`;
  assertEquals(await inTable("SQLite"), await can(url));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("README's table has every transport, and each of them is checked", async () => {
  const names = Object.keys(config.exports).map((entry) => entry.slice(2))
    .filter((name) =>
      config.exports[`./${name}` as keyof typeof config.exports] ===
        `./transports/${name}/mod.ts` &&
      !["records", "store"].includes(name)
    ).sort();
  const [, ...rows] = (await table("transports")).keys();
  assertEquals(rows.sort(), names);
  assertEquals(
    ["memory", "sqlite", ...ON_BROKERS.map(([name]) => name)].sort(),
    names,
  );
});

Deno.test("README's table has the schemes that lead to each transport", async () => {
  const [, ...rows] = await table("transports");
  for (const [name, [schemes = ""]] of rows) {
    const found = [...schemes.matchAll(/`([^`:]+):(?:\/\/)?`/g)];
    assert(found.length > 0, name);
    for (const [, scheme = ""] of found) {
      assertEquals(findTransport(scheme).name, name);
    }
  }
});

Deno.test("README says what the suite asks of every transport", async () => {
  for (const type of ["direct", "topic", "fanout", "headers"]) {
    assert(
      CONFORMANCE_CASES.some(({ name, needs, lacks }) =>
        name.startsWith(`a ${type} exchange `) && needs.length === 0 &&
        lacks.length === 0
      ),
      type,
    );
  }
  const text = await Deno.readTextFile(
    new URL("../README.md", import.meta.url),
  );
  assert(text.includes("All of them have the four types of exchanges"));
});

Deno.test("README's pictures are found by who publishes it, and go with the package", async () => {
  const root = new URL("../", import.meta.url);
  const text = await Deno.readTextFile(new URL("README.md", root));
  const pictures = [...text.matchAll(/!\[[^\]]*\]\(([^)]*)\)/g)]
    .map(([, path = ""]) => path);
  assert(pictures.length > 0);
  const left = config.publish.exclude.filter((each) => !each.startsWith("!"));
  for (const path of pictures) {
    assert(!/^(?:\w+:|[/#])/.test(path), `${path} is not relative`);
    assert((await Deno.stat(new URL(path, root))).isFile);
    assert(!left.includes(path.split("/")[0] ?? ""), path);
  }
});

Deno.test("README's worker does its work, and ends at SIGTERM", async () => {
  const root = new URL("../", import.meta.url);
  const text = await Deno.readTextFile(new URL("README.md", root));
  const program =
    /## A worker\n\n```ts ignore [^\n]*\n(.*?)```/s.exec(text)?.[1] ??
      "";
  // Types are checked there, with all others.
  assertEquals(program, textOf("worker.ts"));
  const asked = Promise.withResolvers<string>();
  await using server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
  }, (request) => {
    asked.resolve(new URL(request.url).pathname);
    return new Response();
  });
  const place = `http://127.0.0.1:${server.addr.port}`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      file,
      program.replace("http://localhost:8080", place)
        .replace(/"amqp:[^"]*"/, '"memory://"'),
    );
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check"]
        .concat(`--config=${new URL("deno.json", root).pathname}`, file),
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const ended = child.output();
    const path = await Promise.race([
      asked.promise,
      ended.then(({ stderr }) => new TextDecoder().decode(stderr)),
    ]);
    assertEquals(path, "/orders/1");
    child.kill("SIGTERM");
    const { code, stderr } = await ended;
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  } finally {
    await Deno.remove(file);
  }
});
