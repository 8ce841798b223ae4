// deno-lint-ignore-file no-top-level-await -- a program
/**
 * Publishes, or handles, messages that are encrypted, and whose large bodies lie in a folder;
 * notes in a file what it has done, and is killed at some time.
 */

import { createConnection } from "@dashi/mq";
import {
  claimCheck,
  createFolderClaimStore,
  encryption,
} from "@dashi/mq/middleware";
import { decodeBase64 } from "../../codec/base64.ts";

const [role, url = "", queue = "", folder = "", key = "", journal = ""] =
  Deno.args;
const store = createFolderClaimStore(folder);
const connection = createConnection(url)
  .use(encryption({ keys: { k: decodeBase64(key) }, current: "k" }))
  .use(claimCheck({ store, over: 1000, expiry: 600_000 }));

/** In one write, so that lines of several processes do not mix. */
function note(line: string): Promise<void> {
  return Deno.writeTextFile(journal, `${line}\n`, { append: true });
}

function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
}

if (role === "publish") {
  const [from = 0, to = 0] = Deno.args.slice(6).map(Number);
  const producer = connection.producer({ queue, maxInFlight: 5 });
  for (let id = from; id < to; id++) {
    await producer.ready;
    const text = `nobody-may-read ${id} ${"long ".repeat(id % 2 * 1000)}`;
    void producer.publish(text, { messageId: `m-${id}` })
      .then(() => note(`${id} ${Deno.pid}`));
    await rest();
  }
  await connection.close();
} else {
  await connection.consumer<string>(queue, { prefetch: 10 }).run(
    async ({ payload, attempt }) => {
      await rest();
      const id = Number(payload.split(" ")[1]);
      if (id % 7 === 0 && attempt === 1) {
        throw new Error("it is tried again");
      }
      await note(`${id} ${Deno.pid}`);
      await rest();
    },
    { concurrency: 5, retry: { attempts: 100, backoff: 0 } },
  );
}
