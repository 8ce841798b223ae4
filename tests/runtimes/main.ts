// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Runs one program on the least versions of Deno, Node and Bun that README names, on the
 * newest of Node and Bun, and on a Node that is too old, and tests by `@dashi/mq/testing` in the test runners of Node and
 * Bun, and in Vitest: `deno task runtimes`. They come from npm, into the user's cache
 * folder.
 */

import manifest from "../../deno.json" with { type: "json" };
import { BROKERS, provideBrokers } from "../brokers/mod.ts";
import { run } from "../brokers/server.ts";
import { attempt, npmInstall, provide, type Runtime, RUNTIMES } from "./npm.ts";
import { RUNNERS, writeTests } from "./runners.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

/** A runtime that README names, or one that is too old. */
interface Case extends Runtime {
  /** The text with which it refuses a runtime that is too old. */
  readonly refusal?: RegExp;
}

/** The runtimes that README names, and that have no SQLite yet. */
const WITHOUT_SQLITE: readonly string[] = ["deno 2.0.0", "node 22.12.0"];
const NO_SQLITE =
  /TransportError: Cannot load the transport "sqlite": this runtime has no "node:sqlite", which Node has from 22\.13 on/;

/** The words of Node 22 and 24 for a module that they have. */
const EXPERIMENTAL =
  /\(node:\d+\) ExperimentalWarning: SQLite .*\n\(Use `node --trace-warnings .*\n/;

const CASES: readonly Case[] = [
  ...RUNTIMES,
  {
    name: "node",
    version: "20.20.2",
    refusal: /Error: @dashi\/mq needs Deno 2, Node 22\.12 or Bun 1\.2\.17/,
  },
];

const PROGRAM = `
import { createConnection, Queue } from "./mod.js";
const [url] = process.argv.slice(2);
const connection = createConnection(url);
const queue = new Queue("dashi-runtimes-" + crypto.randomUUID());
const producer = connection.producer({ declare: [queue] });
await producer.publish({ text: "größer", n: 2n ** 64n }, { routingKey: queue.name });
for await (const message of connection.consumer(queue)) {
  await message.ack();
  console.log(JSON.stringify(message.payload.text), message.payload.n === 2n ** 64n);
  break;
}
const channel = await connection.channel();
await channel.deleteQueue(queue.name);
await connection.close();
`;

async function main(): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-runtimes-" });
  const tests = await Deno.makeTempDir({ prefix: "dashi-runners-" });
  const brokers = await provideBrokers(
    (line) => console.error(`# ${line}`),
    BROKERS.filter(({ name }) => ["AMQP", "REDIS"].includes(name)),
  );
  let [passed, failed, skipped] = [0, 0, 0];
  try {
    await build(folder);
    await Deno.writeTextFile(
      `${folder}/program.js`,
      `import process from "node:process";${PROGRAM}`,
    );
    const urls = [
      "memory://",
      `sqlite:${folder}/runtimes.db`,
      ...["AMQP", "REDIS"].map((name) => brokers.env[`DASHI_TEST_${name}_URL`]),
    ];
    for (const runtime of CASES) {
      const command = await provide(runtime);
      for (const url of urls) {
        const scheme = url?.split(":")[0] ?? "a broker that cannot be had";
        const title = `${runtime.name} ${runtime.version} with ${scheme}`;
        if (url === undefined) {
          skipped++;
          console.log(`${title} ... skipped`);
          continue;
        }
        const said = (await attempt(command, `${folder}/program.js`, url))
          .replace(EXPERIMENTAL, "");
        const refusal = runtime.refusal ??
          (scheme === "sqlite" &&
              WITHOUT_SQLITE.includes(`${runtime.name} ${runtime.version}`)
            ? NO_SQLITE
            : undefined);
        const good = refusal === undefined
          ? said.trim() === '"größer" true'
          : refusal.test(said);
        if (good) passed++;
        else failed++;
        console.log(`${title} ... ${good ? "ok" : `FAILED\n${said}`}`);
      }
    }
    await writeTests(folder, tests);
    await npmInstall(tests, ["--install-links", "vitest@5.1.2", folder]);
    for (const { title, runtime, args, passes } of RUNNERS) {
      const command = await provide(runtime);
      const said = await attempt(
        command,
        ...args.map((each) => each.replace("TESTS", tests)),
      );
      const good = passes.test(said);
      if (good) passed++;
      else failed++;
      console.log(`${title} ... ${good ? "ok" : `FAILED\n${said}`}`);
    }
  } finally {
    await brokers.stop();
    for (const each of [folder, tests]) {
      await Deno.remove(each, { recursive: true });
    }
  }
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

/** Makes what npm's users get: JavaScript without types, with the clients beside it. */
async function build(folder: string): Promise<void> {
  await Deno.writeTextFile(`${folder}/package.json`, '{"type":"module"}');
  const packages = Object.entries(manifest.imports).filter(([, target]) =>
    target.startsWith("npm:")
  );
  await npmInstall(folder, [
    "esbuild",
    ...packages.map(([, target]) => target.slice("npm:".length)),
  ]);
  await run(`${folder}/node_modules/.bin/esbuild`, [
    ...["--bundle", "--splitting", "--format=esm", "--platform=node"],
    ...["--target=esnext", "--log-level=error", `--outdir=${folder}`],
    ...packages.map(([name]) => `--external:${name}`),
    `${ROOT}mod.ts`,
    `${ROOT}testing/mod.ts`,
  ]);
}

if (import.meta.main) Deno.exit(await main());
