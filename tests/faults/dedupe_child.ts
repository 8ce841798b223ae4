// deno-lint-ignore-file no-top-level-await no-console -- a program
/** Publishes messages once each, says which are confirmed, and is killed at some time. */

import { createConnection, Queue } from "@dashi/mq";

const [url = "", transport = "", name = "", count = "0"] = Deno.args;
const producer = createConnection(url, { transport }).producer({
  queue: new Queue<number>(name),
});
let next = 0;
await Promise.all(Array.from({ length: 20 }, async () => {
  while (next < Number(count)) {
    const id = next++;
    const dedupe = { id: String(id), window: 3_600_000 };
    await producer.publish(id, { dedupe });
    console.log(id);
  }
}));
