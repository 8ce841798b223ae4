// deno-lint-ignore-file no-top-level-await -- a process of its own
/** A consumer whose handler ends its process for one message: `deno run killer_child.ts URL QUEUE`. Prints a line for each call. */

import { createConnection } from "@dashi/mq";

const [url = "", queue = ""] = Deno.args;
const encoder = new TextEncoder();

await createConnection(url).consumer<string>(queue).run(
  ({ payload, headers }) => {
    const line = JSON.stringify([payload, headers["x-attempts"] ?? 1]);
    Deno.stdout.writeSync(encoder.encode(`${line}\n`));
    if (payload === "killer") Deno.kill(Deno.pid, "SIGKILL");
  },
  { concurrency: 4, retry: { attempts: 3, backoff: 0 } },
);
