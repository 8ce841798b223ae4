/** Programs that end soon after they began: what was confirmed is there. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { ALL, onEach } from "../support/targets.ts";

/** So many programs for each way to end. */
const RUNS = ALL ? 100 : 1;

/** They end within so many milliseconds. */
const EARLY = 200;

const CHILD = new URL("early_end_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

interface Told {
  readonly began: readonly string[];
  readonly confirmed: readonly string[];
  readonly rejected: readonly string[];
  readonly closed: boolean;
  /** How it ended, and its last words: why it never began, where that is so. */
  readonly end: string;
}

async function runChild(...args: readonly string[]): Promise<Told> {
  const { stdout, stderr, code, signal } = await new Deno.Command(
    Deno.execPath(),
    {
      args: ["run", "-A", "--quiet", "--no-check", `--config=${CONFIG}`, CHILD]
        .concat(args),
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(60_000),
    },
  ).output();
  // The last line of who was killed may be half of one.
  const lines = new TextDecoder().decode(stdout).split("\n").slice(0, -1)
    .map((line) => line.split(" "));
  const told = (what: string) =>
    lines.filter(([word]) => word === what).map(([, id = ""]) => id);
  return {
    began: told("began"),
    confirmed: told("confirmed"),
    rejected: told("rejected"),
    closed: told("closed").length > 0,
    end: `it ended by ${signal ?? code}: ${
      new TextDecoder().decode(stderr).slice(-2000)
    }`,
  };
}

for (
  const way of ["Deno.exit", "an uncaught error", "kill -9", "close"] as const
) {
  onEach(
    `a program that ends by ${way} in its first 200 ms loses nothing confirmed`,
    async (url, { name }) => {
      const queue = new Queue(`early-${crypto.randomUUID()}`);
      await using connection = createConnection(url, { transport: name });
      await connection.declare(queue);
      const missing = new Set<string>();
      for (let run = 0; run < RUNS; run++) {
        const after = String(Math.round((run + 0.5) * EARLY / RUNS));
        const told = await runChild(url, name, queue.name, way, after);
        assert(told.began.length > 0, told.end);
        for (const id of told.confirmed) missing.add(`${after}:${id}`);
        if (way !== "close") continue;
        assert(told.closed, told.end);
        const answered = [...told.confirmed, ...told.rejected];
        assertEquals(answered.toSorted(), told.began.toSorted());
      }
      const consumer = connection.consumer<string>(queue);
      const enough = new AbortController();
      if (missing.size > 0) {
        const limit = AbortSignal.timeout(60_000);
        await consumer.run(({ payload }) => {
          missing.delete(payload);
          if (missing.size === 0) enough.abort();
        }, {
          concurrency: 100,
          signal: AbortSignal.any([enough.signal, limit]),
        });
      }
      assertEquals([...missing], []);
      await connection.queue(queue.name).delete();
    },
  );
}
