import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

const ROOT = new URL("../", import.meta.url).href;

/** The packages that each transport's clients are made of; its URL where nobody listens. */
const TRANSPORTS = [
  ["memory", "memory://lazy", []],
  ["amqp", "amqp://127.0.0.1:1//", ["amqplib"]],
  ["amqp_client", "pika://127.0.0.1:1//", ["@cloudamqp/amqp-client"]],
  ["redis", "redis://127.0.0.1:1/0", ["ioredis"]],
  ["mongodb", "mongodb://127.0.0.1:1/lazy", [
    "mongodb",
  ]],
  ["sqs", "sqs://key:secret@127.0.0.1:1/", [
    "@aws-sdk/client-sns",
    "@aws-sdk/client-sqs",
  ]],
  ["beanstalk", "beanstalk://127.0.0.1:1/", []],
  ["couchdb", "couchdb://127.0.0.1:1/lazy", []],
  ["postgres", "postgres://127.0.0.1:1/lazy", ["pg"]],
  ["nats", "nats://127.0.0.1:1/lazy", ["@nats-io/transport-node"]],
  ["sqlite", "sqlite::memory:", []],
] as const;

const CLIENTS = TRANSPORTS.flatMap(([, , packages]) => packages);

/** Connects to each URL, and says how that ended. */
const PROGRAM = `
  import { createConnection } from "@dashi/mq";
  const ends = [];
  for (const url of JSON.parse(Deno.args[0])) {
    const connection = createConnection(url, { reconnect: false, connectTimeout: 30000 });
    ends.push(await connection.connect().then(() => "connected", ({ code }) => code));
    await connection.close();
  }
  console.log(JSON.stringify(ends));
`;

/** Runs it where evaluating one of these packages throws. */
async function connectWithout(
  packages: readonly string[],
  urls: readonly string[],
): Promise<readonly string[]> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/poison.ts`,
      'throw new Error("poison");',
    );
    await Deno.writeTextFile(`${folder}/main.ts`, PROGRAM);
    const imports: Record<string, string> = { ...config.imports };
    for (const [entry, path] of Object.entries(config.exports)) {
      imports[`@dashi/mq${entry.slice(1)}`] = new URL(path, ROOT).href;
    }
    for (const [name, specifier] of Object.entries(config.imports)) {
      if (!specifier.startsWith("npm:") || packages.includes(name)) continue;
      imports[`${name}/`] = `${specifier.replace("npm:", "npm:/")}/`;
    }
    for (const name of packages) imports[name] = "./poison.ts";
    await Deno.writeTextFile(
      `${folder}/imports.json`,
      JSON.stringify({ imports }),
    );
    const { stdout, stderr, success } = await new Deno.Command(
      Deno.execPath(),
      {
        // The project's own deno.json would win over another.
        args: ["run", "-A", "--no-check", "--no-prompt", "--no-lock"]
          .concat("--no-config", `--import-map=${folder}/imports.json`)
          .concat(`${folder}/main.ts`, JSON.stringify(urls)),
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      },
    ).output();
    assert(success, new TextDecoder().decode(stderr));
    const ends: readonly string[] = JSON.parse(
      new TextDecoder().decode(stdout),
    );
    return ends;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const [name, url, own] of TRANSPORTS) {
  Deno.test(`connecting to ${name} evaluates no other transport's client`, async () => {
    const mine: readonly string[] = own;
    const others = [...CLIENTS, "commander", "croner", "@opentelemetry/api"]
      .filter((each) => !mine.includes(each));
    const [end] = await connectWithout(others, [url]);
    const isHere = name === "memory" || name === "sqlite";
    assertEquals(end, isHere ? "connected" : "connection-failed");
  });
}

Deno.test("connecting evaluates the transport's own client", async () => {
  const urls = TRANSPORTS.filter(([, , own]) => own.length > 0)
    .map(([, url]) => url);
  assertEquals(
    await connectWithout(CLIENTS, urls),
    urls.map(() => "dependency-missing"),
  );
});

/** So many modules are read before the first connection, and so many more for one transport: each costs a cold start 0.3 ms. */
const MOST = { core: 230, transport: 110 };

Deno.test("the library reads no transport before the first connection, and then one", async () => {
  const graph = await graphOf("mod.ts");
  const core = staticFrom(graph, [new URL("mod.ts", ROOT).href]);
  const folders = Object.values(config.exports)
    .filter((path) => /^\.\/(transports\/\w+|cli|testing|tests)\//.test(path))
    .map((path) => new URL("./", new URL(path, ROOT)).href);
  assertEquals(
    [...core].filter((href) => folders.some((each) => href.startsWith(each))),
    [],
  );
  assert(core.size > 100 && core.size <= MOST.core, `${core.size} modules`);
  for (const [name] of TRANSPORTS) {
    const entry = new URL(`transports/${name}/mod.ts`, ROOT).href;
    const more = staticFrom(graph, [entry]).difference(core);
    assert(
      more.has(entry) && more.size <= MOST.transport,
      `${more.size} modules for ${name}`,
    );
  }
});

/** The modules of a graph, and those that each imports at once. */
type Graph = ReadonlyMap<string, readonly string[]>;

/** As `deno info --json` prints it. */
interface Info {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly code?: { readonly specifier?: string };
      readonly isDynamic?: boolean;
    }[];
  }[];
}

async function graphOf(path: string): Promise<Graph> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", new URL(path, ROOT).pathname],
  }).output();
  const info: Info = JSON.parse(new TextDecoder().decode(stdout));
  return new Map(
    info.modules.map(({ specifier, dependencies = [] }) => [
      specifier,
      dependencies.filter(({ isDynamic }) => !isDynamic)
        .flatMap(({ code }) => code?.specifier ?? []),
    ]),
  );
}

function staticFrom(graph: Graph, roots: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const left = [...roots];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const imports = graph.get(next);
    if (imports === undefined || seen.has(next)) continue;
    seen.add(next);
    left.push(...imports);
  }
  return seen;
}

Deno.test("the packages of the clients are those that deno.json pins", () => {
  const others = ["@msgpack/msgpack", "@std/assert", "commander", "croner"]
    .concat("@nats-io/jetstream", "drizzle-orm", "kysely", "postgres")
    .concat("axe-core", "cli-progress", "fauxqs", "js-yaml", "playwright-core")
    .concat("typescript", "uplot", "@opentelemetry/api")
    .concat("@opentelemetry/context-async-hooks", "@opentelemetry/core")
    .concat("@opentelemetry/sdk-metrics", "@opentelemetry/sdk-trace")
    .concat("@opentelemetry/semantic-conventions");
  assertEquals(
    [...CLIENTS, ...others].sort(),
    Object.keys(config.imports).sort(),
  );
});
