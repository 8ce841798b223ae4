// deno-lint-ignore-file no-top-level-await -- a program too
/** A process that is killed after what a case of the conformance suite asks of it. */

import { runKilled } from "../conformance/killed.ts";
import { findTransport } from "../../transports/load.ts";

const PROGRAM = new URL(import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** The work of the process, and its broker. */
export interface KilledWork {
  readonly transport: string;
  readonly url: string | undefined;
  readonly transportOptions: Readonly<Record<string, unknown>>;
  readonly errand: string;
}

/** Starts it, and resolves when it has been killed; rejects if it ended otherwise. */
export async function startKilled(work: KilledWork): Promise<void> {
  const { signal, code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", CONFIG, PROGRAM].concat(
      JSON.stringify(work),
    ),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (signal === "SIGKILL") return;
  throw new Error(
    `The process ended with ${signal ?? code}: ${
      new TextDecoder().decode(stderr)
    }`,
  );
}

async function main(work: KilledWork): Promise<void> {
  const { createTransport } = await findTransport(work.transport).load();
  await runKilled({
    transport: createTransport(),
    url: work.url ?? "",
    transportOptions: work.transportOptions,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }, work.errand);
}

if (import.meta.main) await main(JSON.parse(Deno.args[0] ?? "{}"));
