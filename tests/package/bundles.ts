/** Bundles of a user's program, by the configurations that docs/bundling.md shows. */

import { run } from "../brokers/server.ts";
import { attempt } from "../runtimes/npm.ts";
import { install, type Outcome, pinned } from "./user.ts";

const DOCUMENT = new URL("../../docs/bundling.md", import.meta.url);

/** The least of a Node that README names and these bundlers take. */
export const BUNDLING = { name: "node", version: "22.18.0" } as const;

/** A worker, by its broker's URL and the bytes of a header. */
const WORKER = `
import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";
const [url, bytes] = process.argv.slice(2);
const connection = createConnection(url, { reconnect: false });
const queue = new Queue("dashi-bundle-" + crypto.randomUUID());
await connection.declare(queue);
const headers = { wide: "x".repeat(Number(bytes)) };
await connection.send(queue, { text: "größer" }, { headers });
for await (const message of connection.consumer(queue)) {
  console.log(message.payload.text, message.headers.wide.length);
  await message.ack();
  break;
}
const channel = await connection.channel();
await channel.deleteQueue(queue.name);
await connection.close();
`;

interface Bundler {
  readonly name: string;
  readonly packages: readonly string[];
  /** Its configuration in the document. */
  readonly file: string;
  /** How Node begins it. */
  readonly command: readonly string[];
}

const BUNDLERS: readonly Bundler[] = [
  {
    name: "esbuild",
    packages: ["esbuild@0.28.2"],
    file: "esbuild.mjs",
    command: ["esbuild.mjs"],
  },
  {
    name: "Vite",
    packages: ["vite@8.4.0"],
    file: "vite.config.mjs",
    command: ["node_modules/vite/bin/vite.js", "build"],
  },
  {
    name: "webpack",
    packages: ["webpack@5.113.0", "webpack-cli@7.3.1"],
    file: "webpack.config.mjs",
    // To make it small takes most of its time, and changes nothing here.
    command: [
      "node_modules/webpack/bin/webpack.js",
      "--no-optimization-minimize",
    ],
  },
];

/** The clients that a user has, as the lists of the document name them. */
const CLIENTS: readonly string[] = ["@cloudamqp", "amqplib", "ioredis"];

/** A header that amqplib takes only when it is repaired. */
const WIDE = 70_000;

/** The brokers, by URLs; those that cannot be had are not there. */
export interface Urls {
  readonly redis: string | undefined;
  readonly amqp: string | undefined;
}

/**
 * Bundles a worker by each bundler, and runs it: with the clients left out, where they are
 * installed, and with them inside, where nothing is.
 *
 * @param folder The folder to work in, which is not there yet.
 * @param tarball The package.
 * @param node How Node runs a program.
 * @param urls The brokers.
 * @returns What became of each.
 */
export async function* bundles(
  folder: string,
  tarball: string,
  node: readonly string[],
  { redis, amqp }: Urls,
): AsyncGenerator<Outcome> {
  const tools = BUNDLERS.flatMap(({ packages }) => packages);
  const clients = pinned("@cloudamqp/amqp-client", "amqplib", "ioredis");
  await install(folder, tarball, ...clients, ...tools);
  await Deno.writeTextFile(`${folder}/worker.mjs`, WORKER);
  const document = await Deno.readTextFile(DOCUMENT);
  const pika = amqp?.replace(/^\w+/, "pika");
  const uses = [
    ["amqplib", amqp, false, WIDE],
    ["ioredis", redis, false, WIDE],
    ["amqplib", amqp, true, 7],
    ["ioredis", redis, true, WIDE],
    ["@cloudamqp/amqp-client", pika, true, WIDE],
  ] as const;
  for (const bundler of BUNDLERS) {
    const made = new Map<boolean, string>();
    for (const isInside of [false, true]) {
      const text = configuration(document, bundler.file);
      await Deno.writeTextFile(
        `${folder}/${bundler.file}`,
        isInside ? withClients(text) : text,
      );
      await run("rm", ["-rf", `${folder}/out`]);
      made.set(
        isInside,
        await attempt(
          ["env", "--chdir", folder, ...node],
          ...bundler.command,
        ),
      );
      // Away from all packages nothing is found but what is inside.
      const place = placeOf(folder, bundler, isInside);
      await run("cp", ["-r", `${folder}/out`, place]).catch(() => {});
    }
    for (const [client, url, isInside, bytes] of uses) {
      if (url === undefined) continue;
      const program = `${placeOf(folder, bundler, isInside)}/worker.js`;
      const said = await attempt(node, program, url, String(bytes));
      yield [
        `${client} ${isInside ? "in" : "beside"} a bundle of ${bundler.name}`,
        said.trim() === `größer ${bytes}`
          ? undefined
          : `${said}${made.get(isInside)}`,
      ];
    }
  }
}

/** Where a bundle is run. */
function placeOf(folder: string, { name }: Bundler, isInside: boolean): string {
  return isInside ? `${folder}-alone-${name}` : `${folder}/run-${name}`;
}

/** The block of the document that is this file. */
function configuration(document: string, file: string): string {
  const blocks = document.matchAll(/^```js ignore .+\n([^]+?)^```$/gm);
  for (const [, text = ""] of blocks) {
    if (text.startsWith(`// ${file},`)) return text;
  }
  throw new Error(`docs/bundling.md has no ${file}`);
}

/** The same without the names of the clients that a user has. */
function withClients(text: string): string {
  return CLIENTS.reduce(
    (shorter, name) => {
      const next = shorter.replace(
        new RegExp(`\\|${name}\\b|^ *"${name}(/\\*)?",\\n`, "m"),
        "",
      );
      if (next === shorter) throw new Error(`docs/bundling.md lacks ${name}`);
      return next;
    },
    text,
  );
}
