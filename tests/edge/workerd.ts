/** Workers of Cloudflare on this machine: bundled as docs/deploy.md says, and run by workerd. */

import { assert } from "@std/assert";
import manifest from "../../deno.json" with { type: "json" };
import { run } from "../brokers/server.ts";
import { npmInstall } from "../runtimes/npm.ts";
import { cacheFolder } from "../support/cache.ts";

const ROOT = new URL("../../", import.meta.url);
const WORKERD = "1.20260426.1";
const ESBUILD = "0.28.2";
/** The packages that the bundle has inside. */
const CLIENTS = ["@cloudamqp/amqp-client", "amqplib", "ioredis"] as const;

/** A Worker that is running. */
export interface Worker extends AsyncDisposable {
  /** Where it listens. */
  readonly address: string;
  /** What it has printed so far. */
  readonly printed: string;
}

/** Installs workerd and the bundler, in the user's cache folder; returns where. */
export async function installWorkerd(): Promise<string> {
  const folder = await cacheFolder(`workerd-${WORKERD}-${ESBUILD}`);
  await npmInstall(folder, [
    `workerd@${WORKERD}`,
    `esbuild@${ESBUILD}`,
    ...CLIENTS.map((name) => manifest.imports[name].slice("npm:".length)),
  ]);
  return folder;
}

/** The options of esbuild that docs/deploy.md has. */
export async function documentedOptions(): Promise<readonly string[]> {
  const text = await Deno.readTextFile(new URL("docs/deploy.md", ROOT));
  const command = /npx esbuild worker\.ts \\\n(.*?)\n```/s.exec(text)?.[1];
  assert(command !== undefined, "docs/deploy.md has no command of esbuild");
  return [...command.matchAll(/'([^']+)'|([^\s\\]+)/g)]
    .map(([, quoted, plain]) => quoted ?? plain ?? "");
}

/** Bundles a program into a folder. */
export async function bundle(
  tools: string,
  program: string,
  folder: string,
): Promise<void> {
  const entry = `${folder}/worker.ts`;
  await Deno.writeTextFile(entry, program);
  const options = (await documentedOptions())
    .filter((option) => !option.startsWith("--outdir="));
  await run(`${tools}/node_modules/.bin/esbuild`, [
    ...[entry, ...options, `--outdir=${folder}`, "--log-level=error"],
    `--alias:@dashi/mq=${new URL("mod.ts", ROOT).pathname}`,
  ], { NODE_PATH: `${tools}/node_modules` });
}

/** Runs a bundle, whose environment is `bindings`. */
export async function serve(
  tools: string,
  folder: string,
  bindings: Readonly<Record<string, string>>,
): Promise<Worker> {
  const config = await Deno.makeTempFile({ dir: folder, suffix: ".capnp" });
  await Deno.writeTextFile(config, configOf(folder, bindings));
  const child = new Deno.Command(program(tools), {
    args: ["serve", config, "--control-fd=1"],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let printed = "";
  const printing = child.stderr.pipeThrough(new TextDecoderStream())
    .pipeTo(
      new WritableStream({
        write(text) {
          printed += text;
        },
      }),
    );
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const stop = async () => {
    child.kill("SIGKILL");
    await Promise.all([reader.cancel(), printing, child.status]);
  };
  for (let said = "";;) {
    const { value, done } = await reader.read();
    if (done) {
      await Promise.all([printing, child.status]);
      throw new Error(`workerd has ended: ${printed}`);
    }
    const port = /"socket":"http","port":(\d+)/.exec(said += value)?.[1];
    if (port === undefined) continue;
    return {
      address: `http://127.0.0.1:${port}/`,
      get printed() {
        return printed;
      },
      [Symbol.asyncDispose]: stop,
    };
  }
}

function program(tools: string): string {
  const scope = `${tools}/node_modules/@cloudflare`;
  for (const { name } of Deno.readDirSync(scope)) {
    if (name.startsWith("workerd-")) return `${scope}/${name}/bin/workerd`;
  }
  throw new Error("npm has installed no workerd for this system");
}

/** The entry comes first: workerd takes the first module for it. */
function configOf(
  folder: string,
  bindings: Readonly<Record<string, string>>,
): string {
  const modules = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.endsWith(".js") && name !== "worker.js");
  const listed = ["worker.js", ...modules].map((name) =>
    `(name = "${name}", esModule = embed "${name}")`
  );
  const bound = Object.entries(bindings).map(([name, text]) =>
    `(name = "${name}", text = ${JSON.stringify(text)})`
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [${listed.join(", ")}],
  bindings = [${bound.join(", ")}],
  compatibilityDate = "2026-04-01",
  compatibilityFlags = ["nodejs_compat"],
);
`;
}
