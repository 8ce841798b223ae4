/** Python with Kombu and Celery, in a virtual environment of the tests' own. */

import { run } from "../brokers/server.ts";
import { cacheFolder } from "../support/cache.ts";

/** The newest of each that serve: what users of Python get today. */
const PACKAGES = [
  "kombu[redis,mongodb,sqs]>=5.7",
  "celery>=5.7",
  "msgpack",
  "pyyaml",
  "brotli",
  "backports.zstd; python_version < '3.14'",
];

/** Days after which the environment is made anew, for there may be newer ones. */
const DAYS = 14;

/** An interpreter, or why there is none. */
export type Python = { readonly python: string } | { readonly reason: string };

/** Makes the environment if it is not there. Of several processes one does, and the others wait for it. */
export async function providePython(): Promise<Python> {
  const folder = await cacheFolder("python");
  const python = `${folder}/bin/python`;
  const mark = `${folder}/dashi-packages`;
  using lock = await Deno.open(`${folder}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await isFresh(mark)) return { python };
  try {
    await run("python3", ["-m", "venv", "--clear", folder]);
    const quietly = ["--quiet", "--retries", "1"];
    await run(python, ["-m", "pip", "install", ...quietly, ...PACKAGES]);
    await Deno.writeTextFile(mark, PACKAGES.join("\n"));
    return { python };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return {
      reason: `no Python with Kombu and Celery could be made: ${
        text.split("\n")[0]
      }`,
    };
  }
}

async function isFresh(mark: string): Promise<boolean> {
  try {
    if (await Deno.readTextFile(mark) !== PACKAGES.join("\n")) return false;
    const { mtime } = await Deno.stat(mark);
    return Date.now() - (mtime?.getTime() ?? 0) < DAYS * 86_400_000;
  } catch {
    return false;
  }
}
