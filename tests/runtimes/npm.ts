/** Runtimes and packages, as npm has them. */

import { run } from "../brokers/server.ts";
import { cacheFolder } from "../support/cache.ts";

/** A runtime, as npm has it. */
export interface Runtime {
  readonly name: "deno" | "node" | "bun";
  readonly version: string;
}

/** The least versions that README names, and the newest of today. */
export const RUNTIMES: readonly Runtime[] = [
  { name: "deno", version: "2.0.0" },
  { name: "node", version: "22.12.0" },
  { name: "node", version: "24.0.0" },
  { name: "node", version: "26.10.0" },
  { name: "bun", version: "1.2.17" },
  { name: "bun", version: "1.4.5" },
];

/** Installs packages into a folder. */
export async function npmInstall(
  folder: string,
  packages: readonly string[],
): Promise<void> {
  const quietly = ["--silent", "--no-fund", "--no-audit"];
  await run("npm", ["install", ...quietly, "--prefix", folder, ...packages]);
}

/** Installs a runtime, and says how a program is run by it. */
export async function provide(
  { name, version }: Runtime,
): Promise<readonly string[]> {
  const program = await provideTool(name, version);
  return name === "deno" ? [program, "run", "-A", "--quiet"] : [program];
}

/** Installs a package whose command has its name, and returns the path of that. */
export async function provideTool(
  name: string,
  version: string,
): Promise<string> {
  const folder = await cacheFolder(`${name}-${version}`);
  await npmInstall(folder, [`${name}@${version}`]);
  return `${folder}/node_modules/.bin/${name}`;
}

/** Runs a program, and returns what it printed, good or bad. */
export async function attempt(
  [command = "", ...args]: readonly string[],
  ...more: readonly string[]
): Promise<string> {
  const child = new Deno.Command(command, {
    args: [...args, ...more],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), 180_000);
  const { stdout, stderr } = await child.output();
  clearTimeout(timer);
  const decoder = new TextDecoder();
  return decoder.decode(stdout) + decoder.decode(stderr);
}
