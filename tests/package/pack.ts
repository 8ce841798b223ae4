// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Builds the package for npm in `dist/`, and its tarball there: `deno task pack`. */

import { run } from "../brokers/server.ts";
import { buildPackage } from "./build.ts";

const DIST = new URL("../../dist", import.meta.url).pathname;

/**
 * Builds the package, and makes its tarball by `npm pack`.
 *
 * @param folder The folder to write to. What is in it is lost.
 * @returns The path of the tarball.
 */
export async function pack(folder: string): Promise<string> {
  await Deno.remove(folder, { recursive: true }).catch((error: unknown) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await Deno.mkdir(folder, { recursive: true });
  await buildPackage(folder);
  const name = await run("npm", [
    ...["pack", folder, "--silent", "--pack-destination", folder],
  ]);
  return `${folder}/${name.trim()}`;
}

if (import.meta.main) console.log(await pack(DIST));
