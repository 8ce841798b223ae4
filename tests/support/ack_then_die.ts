// deno-lint-ignore-file no-top-level-await -- a program
/** A process that takes one message, acks it, and is killed in the same breath: `URL QUEUE`. */

import { createConnection } from "@dashi/mq";

const [url = "", queue = ""] = Deno.args;
const connection = createConnection(url);
for await (const message of connection.consumer(queue)) {
  await message.ack();
  Deno.kill(Deno.pid, "SIGKILL");
}
