// deno-lint-ignore-file no-top-level-await -- a program
/** Serves a queue, and is killed in the middle of its third request. */

import { createConnection } from "@dashi/mq";

const [url = "", queue = ""] = Deno.args;
let calls = 0;
await createConnection(url).consumer(queue).serve(({ payload }) => {
  if (++calls === 3) Deno.kill(Deno.pid, "SIGKILL");
  return payload;
}, { concurrency: 1 });
