/** Python with Kombu, in a virtual environment of the tests' own. */

import { run } from "../brokers/server.ts";

const FOLDER = new URL("../.cache/python/", import.meta.url).pathname;
const PACKAGES = ["kombu==5.7.0"];

/** Makes the environment if it is not there; returns the interpreter, or why there is none. */
export async function providePython(): Promise<
  { readonly python: string } | { readonly reason: string }
> {
  const python = `${FOLDER}bin/python`;
  const mark = `${FOLDER}${PACKAGES.join("-")}`;
  try {
    await Deno.stat(mark);
    return { python };
  } catch {
    // To be made.
  }
  try {
    await run("python3", ["-m", "venv", "--clear", FOLDER]);
    await run(python, ["-m", "pip", "install", "--quiet", ...PACKAGES]);
    await Deno.writeTextFile(mark, "");
    return { python };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return {
      reason: `no Python with Kombu could be made: ${text.split("\n")[0]}`,
    };
  }
}
