// deno-lint-ignore-file no-top-level-await -- a program
/**
 * Publishes as fast as it may, and ends in the way that it is told, so many milliseconds
 * after its first line: for early_end_test.ts. Each line that it writes leaves at once.
 */

import { createConnection } from "@dashi/mq";

const [url = "", transport = "", queue = "", way = "", after = "0"] = Deno.args;
const encoder = new TextEncoder();
const say = (line: string) =>
  Deno.stdout.writeSync(encoder.encode(`${line}\n`));

const connection = createConnection(url, { transport });
let ending = false;
setTimeout(async () => {
  ending = true;
  if (way === "Deno.exit") Deno.exit(0);
  if (way === "kill -9") Deno.kill(Deno.pid, "SIGKILL");
  if (way === "an uncaught error") throw new Error("As asked");
  await connection.close();
  say("closed");
}, Number(after));

const producer = connection.producer({ queue });
for (let i = 0; !ending; i++) {
  say(`began ${i}`);
  producer.publish(`${after}:${i}`).then(
    () => say(`confirmed ${i}`),
    () => say(`rejected ${i}`),
  );
  if (i % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 1));
}
