// deno-lint-ignore-file no-top-level-await -- a program
/** Handles a queue with an inbox on Redis, notes there what it has done, and is killed at some time. */

import { Redis } from "ioredis";
import { createConnection } from "@dashi/mq";
import { createRedisInbox } from "../../messaging/inbox/redis_inbox.ts";

const [url = "", queue = "", redis = "", prefix = ""] = Deno.args;
const journal = new Redis(redis);
const inbox = createRedisInbox(redis, {
  window: 600_000,
  lease: 1000,
  prefix: `${prefix}.inbox.`,
});

function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
}

await createConnection(url).consumer(queue, { prefetch: 10 }).run(
  async ({ payload }) => {
    await rest();
    await journal.rpush(`${prefix}.journal`, `${payload} ${Deno.pid}`);
    await rest();
  },
  { inbox, concurrency: 5, retry: false },
);
