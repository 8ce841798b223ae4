// deno-lint-ignore-file no-top-level-await -- a program
/** Handles messages at a rate for all processes, and says by the server's clock when each was begun with, µs. */

import { createConnection, type RateLimitOptions } from "@dashi/mq";
import { nativeClient } from "../../transports/redis/mod.ts";

const [url = "", queue = "", given = "{}"] = Deno.args;
const rateLimit: RateLimitOptions = JSON.parse(given);
await using connection = createConnection(url);
const redis = await connection.native(nativeClient);
const consumer = connection.consumer(queue, { prefetch: 2 });
await consumer.run(async ({ payload }) => {
  const [seconds, micros] = await redis.time();
  // deno-lint-ignore no-console -- its parent reads it
  console.log(
    JSON.stringify([payload, Number(seconds) * 1e6 + Number(micros)]),
  );
}, { concurrency: 5, rateLimit: { ...rateLimit, scope: "queue" } });
