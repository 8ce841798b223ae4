/**
 * The command line: looks into a broker, publishes, and redrives dead letters.
 *
 * ```sh
 * export DASHI_URL=amqp://guest:guest@localhost//
 * deno run -A jsr:@dashi/mq/cli ping
 * deno run -A jsr:@dashi/mq/cli --help
 * ```
 *
 * @module
 */

import { adviceFor, lineOf } from "./advice.ts";
import { cannotImport } from "../model/dependency.ts";
import { OutputClosed, type Terminal, UsageError } from "./terminal.ts";
import { endWith, ownTerminal } from "./terminal_client.ts";

export {
  type Bar,
  OutputClosed,
  type Terminal,
  UsageError,
} from "./terminal.ts";

/**
 * Runs the command that the arguments of a terminal name, and tells what went wrong.
 *
 * @param terminal The terminal.
 * @returns The code to end with: 0 if all went well, 1 if something failed, 2 for wrong arguments.
 *
 * @example What it says of itself
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import { run } from "@dashi/mq/cli";
 *
 * let written = "";
 * const code = await run({
 *   args: ["--help"],
 *   columns: undefined,
 *   isPiped: false,
 *   variable: () => undefined,
 *   write: (text) => Promise.resolve(void (written += text)),
 *   tell: () => {},
 *   read: () => Promise.reject(new Error("there is no file")),
 *   async *input() {},
 * });
 * assertEquals(code, 0);
 * assert(written.includes("dashi ping"));
 * ```
 */
export async function run(terminal: Terminal): Promise<number> {
  try {
    const { runArguments } = await loadArguments();
    return await runArguments(terminal);
  } catch (error) {
    if (error instanceof OutputClosed) return 0;
    terminal.tell(`dashi: ${lineOf(error)}`);
    if (error instanceof UsageError) return 2;
    const advice = adviceFor(error);
    if (advice !== undefined) terminal.tell(advice);
    return 1;
  }
}

function loadArguments(): Promise<typeof import("./arguments_client.ts")> {
  return import("./arguments_client.ts").catch((cause: unknown) => {
    throw cannotImport("read the arguments", ["commander"], cause);
  });
}

if (import.meta.main) void run(ownTerminal()).then(endWith);
