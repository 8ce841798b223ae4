// deno-lint-ignore-file no-top-level-await -- a process of its own
/** A consumer whose handler ends its process for one message: `deno run killer_child.ts WORK`. Prints a line for each call. */

import { createConnection } from "@dashi/mq";
import { graveOf } from "./killer_queues.ts";

/** The work of the process, as JSON. */
export interface KillerWork {
  readonly url: string;
  readonly queue: string;
  readonly transportOptions: Readonly<Record<string, unknown>>;
  /** How the handler ends the process. */
  readonly how: "killed" | "uncaught";
  /** Milliseconds between the attempts of a handler that fails. */
  readonly backoff: number;
}

const work: KillerWork = JSON.parse(Deno.args[0] ?? "{}");
const { url, queue, transportOptions, how, backoff } = work;
const encoder = new TextEncoder();

// Some brokers tell nobody what another process has declared.
const [dead, from] = graveOf(queue);
const connection = createConnection(url, { transportOptions });
await connection.declare(dead);
await connection.consumer<string>(from).run(
  async ({ payload, headers }) => {
    const line = JSON.stringify([payload, headers["x-attempts"] ?? 1]);
    Deno.stdout.writeSync(encoder.encode(`${line}\n`));
    if (payload !== "killer") return;
    if (how === "killed") Deno.kill(Deno.pid, "SIGKILL");
    setTimeout(() => {
      throw new Error("Nobody catches this");
    });
    await new Promise(() => {});
  },
  { concurrency: 4, retry: { attempts: 3, backoff } },
);
