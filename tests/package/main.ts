// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Installs the tarball of `deno task pack` into empty folders, by npm, and uses it there
 * as its users do, on Node and on Bun: `deno task test:package`.
 */

import manifest from "../../deno.json" with { type: "json" };
import { BROKERS, provideBrokers } from "../brokers/mod.ts";
import { run } from "../brokers/server.ts";
import { attempt, provide, RUNTIMES } from "../runtimes/npm.ts";
import { bundles, BUNDLING, type Urls } from "./bundles.ts";
import { examples } from "./examples.ts";
import { managers } from "./managers.ts";
import { outbox } from "./outbox.ts";
import { pack } from "./pack.ts";
import { pages } from "./page.ts";
import { types } from "./types.ts";
import { install, type Outcome, pinned } from "./user.ts";

/** Files that are no modules and no declarations of them. */
const TEXTS: readonly string[] = [
  "CHANGELOG.md",
  "LICENSE",
  "README.md",
  "package.json",
];

/** Files of the page of `dashi ui`, which a browser reads. */
const PAGE = "cli/ui/page/";

const WORKER = `
import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";
const connection = createConnection(process.argv[2]);
const queue = new Queue("dashi-package-" + crypto.randomUUID());
await connection.declare(queue);
await connection.send(queue, { text: "größer" });
const stop = new AbortController();
await connection.consumer(queue).run(({ payload }) => {
  console.log(payload.text);
  stop.abort();
}, { signal: stop.signal });
const channel = await connection.channel();
await channel.deleteQueue(queue.name);
await connection.close();
`;

/** Each that needs a package, and how it is needed first. */
const MISSING: readonly (readonly [package_: string, program: string])[] = [
  ["amqplib", 'await createConnection("amqp://127.0.0.1:1//").connect();'],
  [
    "@cloudamqp/amqp-client",
    'await createConnection("pika://127.0.0.1:1//").connect();',
  ],
  ["ioredis", 'await createConnection("redis://127.0.0.1:1").connect();'],
  ["pg", 'await createConnection("postgres://127.0.0.1:1/x").connect();'],
  [
    "@nats-io/transport-node",
    'await createConnection("nats://127.0.0.1:1").connect();',
  ],
  ["mongodb", 'await createConnection("mongodb://127.0.0.1:1/x").connect();'],
  [
    "@aws-sdk/client-sqs",
    'await createConnection("sqs://a:b@127.0.0.1:1/").connect();',
  ],
  [
    "js-yaml",
    'await createConnection("memory://").producer({ serializer: "yaml" }).publish(1, { routingKey: "q" });',
  ],
  [
    "croner",
    'await createConnection("memory://").schedule("s", { cron: "0 2 * * *" }, { queue: "q", payload: 1 });',
  ],
  [
    "@opentelemetry/api",
    'await (await import("@dashi/mq/telemetry")).telemetry();',
  ],
  [
    "@msgpack/msgpack",
    'await createConnection("memory://").producer({ serializer: "msgpack" }).publish(1, { routingKey: "q" });',
  ],
];

async function main(): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-package-" });
  const brokers = await provideBrokers(
    (line) => console.error(`# ${line}`),
    BROKERS.filter(({ name }) => ["AMQP", "REDIS"].includes(name)),
  );
  const counts = { passed: 0, failed: 0, skipped: 0 };
  try {
    const tarball = await pack(`${folder}/dist`);
    const urls = {
      amqp: brokers.env.DASHI_TEST_AMQP_URL,
      redis: brokers.env.DASHI_TEST_REDIS_URL,
    };
    for (const [name, url] of Object.entries(urls)) {
      if (url !== undefined) continue;
      counts.skipped++;
      console.log(`what needs ${name} ... skipped: it cannot be had`);
    }
    for await (const [title, problem] of uses(folder, tarball, urls)) {
      if (problem === undefined) counts.passed++;
      else counts.failed++;
      const end = problem === undefined ? "ok" : `FAILED\n${problem}`;
      console.log(`${title} ... ${end}`);
    }
  } finally {
    await brokers.stop();
    await Deno.remove(folder, { recursive: true });
  }
  const { passed, failed, skipped } = counts;
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

async function* uses(
  folder: string,
  tarball: string,
  urls: Urls,
): AsyncGenerator<Outcome> {
  yield ["what the tarball carries", await judgeFiles(tarball)];
  yield ["npm corrects nothing", await judgeManifest(`${folder}/dist`)];
  const [bare, user] = [`${folder}/bare`, `${folder}/user`];
  await install(bare, tarball);
  await install(user, tarball, ...pinned("ioredis"));
  yield ["one package comes with it", await judgeCount(bare, 2)];
  yield* managers(`${folder}/managers`, tarball, urls);
  const npx = await attempt(["npx", "--yes", `file:${tarball}`]);
  yield [
    "npx, of a package that is not installed",
    npx.includes("dashi --help says more") ? undefined : npx,
  ];
  yield* types(folder, tarball);
  yield* bundles(
    `${folder}/bundles`,
    tarball,
    await provide(BUNDLING),
    urls,
  );
  yield* examples(`${folder}/examples`, tarball);
  yield* pages(`${folder}/page`, tarball);
  for (const runtime of RUNTIMES.filter(({ name }) => name !== "deno")) {
    const command = await provide(runtime);
    const name = `${runtime.name} ${runtime.version}`;
    const worker = `${user}/worker.mjs`;
    await Deno.writeTextFile(worker, WORKER);
    for (const url of ["memory://", urls.redis]) {
      if (url === undefined) continue;
      const said = await attempt(command, worker, url);
      const isGood = said.trim() === "größer";
      yield [
        `a worker on ${url.split(":")[0]} by ${name}`,
        isGood ? undefined : said,
      ];
    }
    yield* outbox(name, command, user);
    const program = [...command, "node_modules/.bin/dashi"];
    const help = await attempt([
      "env",
      `--chdir=${bare}`,
      ...program,
      "--help",
    ]);
    yield [
      `dashi --help by ${name}`,
      help.includes("dashi ping") ? undefined : help,
    ];
    if (urls.redis !== undefined) {
      const said = await attempt(
        [
          "env",
          `--chdir=${user}`,
          `DASHI_URL=${urls.redis}`,
          ...program,
          "ping",
        ],
      );
      // To connect, to declare, to publish, to consume and to delete.
      const isGood = said.match(/"ok":true/g)?.length === 5;
      yield [`dashi ping on redis by ${name}`, isGood ? undefined : said];
    }
    const said = await attempt(command, await writeMissing(bare));
    for (const [missing] of MISSING) {
      const line = said.split("\n").find((each) =>
        each.startsWith(`${missing}: `)
      );
      const isGood = line?.includes(
        `the npm package "${missing}" is not installed: "npm install ${missing}", "pnpm add ${missing}", "yarn add ${missing}", "bun add ${missing}" or "deno add npm:${missing}"`,
      );
      yield [
        `${missing} is missing on ${name}`,
        isGood ? undefined : said,
      ];
    }
  }
}

/** Makes a program that needs each package in turn, and prints the errors. */
async function writeMissing(folder: string): Promise<string> {
  const path = `${folder}/missing.mjs`;
  const attempts = MISSING.map(([name, program]) =>
    `await (async () => { ${program} })().then(() => console.log("${name}: nothing was thrown"), (error) => console.log("${name}: " + error.message));`
  );
  await Deno.writeTextFile(
    path,
    `import { createConnection } from "@dashi/mq";\n${
      attempts.join("\n")
    }\nprocess.exit();\n`,
  );
  return path;
}

/** Says what a tarball carries that it should not, or lacks. */
async function judgeFiles(tarball: string): Promise<string | undefined> {
  const listed = (await run("tar", ["-tzf", tarball])).trim().split("\n")
    .map((path) => path.slice("package/".length));
  const files = new Set(listed);
  const wrong = listed.filter((path) => {
    if (TEXTS.includes(path) || path.startsWith(PAGE)) return false;
    if (path.endsWith(".d.ts")) {
      return !files.has(path.replace(/\.d\.ts$/, ".js"));
    }
    const isForeign = path.startsWith("tests/") &&
      !path.startsWith("tests/conformance/");
    return isForeign || !files.has(path.replace(/\.js$/, ".d.ts"));
  });
  const lacking = TEXTS.concat(
    `${PAGE}index.html`,
    Object.values(manifest.exports).map((path) =>
      path.slice(2).replace(/\.ts$/, ".js")
    ),
  ).filter((path) => !files.has(path));
  return wrong.length + lacking.length === 0
    ? undefined
    : `too much: ${wrong.join(", ")}; lacking: ${lacking.join(", ")}`;
}

/** Says what npm, as it publishes, would write into package.json otherwise. */
async function judgeManifest(folder: string): Promise<string | undefined> {
  const path = `${folder}/package.json`;
  const before = JSON.parse(await Deno.readTextFile(path));
  await run("env", [`--chdir=${folder}`, "npm", "pkg", "fix"]);
  const after = JSON.parse(await Deno.readTextFile(path));
  const changed = Object.keys({ ...before, ...after }).filter((name) =>
    JSON.stringify(before[name]) !== JSON.stringify(after[name])
  );
  return changed.length === 0
    ? undefined
    : changed.map((name) => `${name}: ${JSON.stringify(after[name])}`).join();
}

/** Counts the packages below a folder, which must not be more than that. */
async function judgeCount(
  folder: string,
  most: number,
): Promise<string | undefined> {
  const lock = JSON.parse(
    await Deno.readTextFile(`${folder}/node_modules/.package-lock.json`),
  );
  const names = Object.keys(lock.packages);
  const size = await run("du", ["-sk", `${folder}/node_modules`]);
  console.log(
    `# ${names.length} packages, ${
      (parseInt(size) / 1024).toFixed(1)
    } MB in node_modules`,
  );
  return names.length <= most ? undefined : names.join(", ");
}

if (import.meta.main) Deno.exit(await main());
