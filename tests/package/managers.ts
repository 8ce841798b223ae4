/** README's worker, from packages that each package manager has installed. */

import { createConnection } from "@dashi/mq";
import { run } from "../brokers/server.ts";
import { textOf } from "../examples/programs.ts";
import { provide, provideTool, RUNTIMES } from "../runtimes/npm.ts";
import { toScript } from "./build.ts";
import type { Urls } from "./bundles.ts";
import { type Outcome, pinned } from "./user.ts";

/** A package manager of users, and the command by which it adds packages. */
interface Manager {
  readonly name: "npm" | "pnpm" | "yarn" | "bun";
  /** As npm has it; without one it is npm of this machine. */
  readonly version?: string;
  readonly add: readonly string[];
}

const MANAGERS: readonly Manager[] = [
  { name: "npm", add: ["install", "--silent", "--no-fund", "--no-audit"] },
  { name: "pnpm", version: "12.4.2", add: ["add", "--silent"] },
  {
    name: "yarn",
    version: "1.22.22",
    add: ["add", "--silent", "--non-interactive"],
  },
  { name: "bun", version: "1.4.5", add: ["add", "--silent"] },
];

/** What those run on that are programs of Node: the machine's may be too old for them. */
const NODE = { name: "node", version: "24.0.0" } as const;

/** The most packages that somebody who wants Redis alone may have. */
const MAX_PACKAGES = 12;

/** The newest of Node and Bun: other tests have the others. */
const RUNNING = ["node", "bun"].flatMap((name) =>
  RUNTIMES.filter((each) => each.name === name).slice(-1)
);

/** Milliseconds that a worker may take to ask for its order. */
const PATIENCE = 60_000;

/**
 * Installs the package and `ioredis` by each manager, counts what is there, and runs the
 * worker on Redis and in a file of SQLite; then `amqplib`, and on RabbitMQ.
 *
 * @param folder The folder to work in, which is not there yet.
 * @param tarball The package.
 * @param urls The brokers.
 * @returns What became of each.
 */
export async function* managers(
  folder: string,
  tarball: string,
  { redis, amqp }: Urls,
): AsyncGenerator<Outcome> {
  await Deno.mkdir(folder);
  for (const manager of MANAGERS) {
    const user = `${folder}/${manager.name}`;
    await Deno.mkdir(user);
    await Deno.writeTextFile(`${user}/package.json`, '{"type":"module"}');
    const add = await adding(manager, user);
    await add(`file:${tarball}`, ...pinned("ioredis"));
    const packages = new Set(packagesIn(`${user}/node_modules`));
    const size = parseInt(await run("du", ["-sk", `${user}/node_modules`]));
    const megabytes = (size / 1024).toFixed(1);
    yield [
      `packages for Redis alone by ${manager.name}: ${packages.size}, of ${megabytes} MB`,
      packages.size <= MAX_PACKAGES && packages.has("ioredis")
        ? undefined
        : [...packages].join(", "),
    ];
    yield* works(manager, user, [redis, `sqlite:${user}/orders.db`]);
    await add(...pinned("amqplib"));
    yield* works(manager, user, [amqp]);
  }
}

/** Makes the command that adds packages to a folder. */
async function adding(
  { name, version, add }: Manager,
  folder: string,
): Promise<(...packages: readonly string[]) => Promise<void>> {
  const program = version === undefined
    ? name
    : await provideTool(name, version);
  const [node = ""] = await provide(NODE);
  const path = `${node.slice(0, node.lastIndexOf("/"))}:${
    Deno.env.get("PATH")
  }`;
  return async (...packages) => {
    const args = [`--chdir=${folder}`, program, ...add, ...packages];
    await run("env", args, { PATH: path });
  };
}

/** The names of the packages below a folder: of links, too, and of those of pnpm. */
function* packagesIn(folder: string): Iterable<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (!isDirectory) continue;
    const path = `${folder}/${name}`;
    if (name === ".pnpm") {
      for (const each of Deno.readDirSync(path)) {
        const inside = `${path}/${each.name}/node_modules`;
        if (each.isDirectory && each.name !== "node_modules") {
          yield* packagesIn(inside);
        }
      }
    } else if (name.startsWith("@")) {
      for (const each of Deno.readDirSync(path)) {
        if (each.isDirectory) yield* packageAt(`${path}/${each.name}`);
      }
    } else if (!name.startsWith(".")) {
      yield* packageAt(path);
    }
  }
}

function* packageAt(path: string): Iterable<string> {
  const { name, version } = JSON.parse(
    Deno.readTextFileSync(`${path}/package.json`),
  );
  yield name === "ioredis" ? name : `${name}@${version}`;
  try {
    Deno.statSync(`${path}/node_modules`);
  } catch {
    return;
  }
  yield* packagesIn(`${path}/node_modules`);
}

/** Runs the worker on brokers by each runtime: it asks for its order, and ends at SIGTERM. */
async function* works(
  manager: Manager,
  folder: string,
  urls: readonly (string | undefined)[],
): AsyncGenerator<Outcome> {
  for (const url of urls) {
    if (url === undefined) continue;
    for (const runtime of RUNNING) {
      const command = await provide(runtime);
      const said = await work(command, folder, url);
      await using connection = createConnection(url);
      for (const queue of ["orders", "orders.dead"]) {
        await connection.delete(queue);
      }
      const [scheme] = url.split(":");
      yield [
        `README's worker on ${scheme} by ${runtime.name} ${runtime.version}, installed by ${manager.name}`,
        said === "/orders/1, then 0" ? undefined : said,
      ];
    }
  }
}

async function work(
  [command = "", ...args]: readonly string[],
  folder: string,
  url: string,
): Promise<string> {
  const asked = Promise.withResolvers<string>();
  const timer = setTimeout(() => asked.resolve("no order"), PATIENCE);
  await using server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
  }, (request) => {
    asked.resolve(new URL(request.url).pathname);
    return new Response();
  });
  const program = textOf("worker.ts")
    .replace("http://localhost:8080", `http://127.0.0.1:${server.addr.port}`)
    .replace(/"amqp:[^"]*"/, JSON.stringify(url));
  const file = `${folder}/worker.mjs`;
  await Deno.writeTextFile(file, toScript("worker.ts", program));
  const child = new Deno.Command(command, {
    args: [...args, file],
    env: { NODE_NO_WARNINGS: "1" }, // of Node 24.0: SQLite is experimental
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const ended = child.output();
  const first = await Promise.race([
    asked.promise,
    ended.then(() => "no order"),
  ]);
  clearTimeout(timer);
  try {
    child.kill("SIGTERM");
  } catch {
    // It has ended.
  }
  const killing = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  const { code, stdout, stderr } = await ended;
  clearTimeout(killing);
  const decoder = new TextDecoder();
  return `${first}, then ${code}${decoder.decode(stdout)}${
    decoder.decode(stderr)
  }`;
}
