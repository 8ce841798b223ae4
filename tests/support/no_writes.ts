/** A Redis that takes no writes for a while. */

import type { RedisServer } from "../brokers/redis.ts";
import { until } from "../brokers/server.ts";

/** Has a server answer every write with `MISCONF`, for it cannot make a snapshot, until it is let. */
export async function refuseWrites(
  server: RedisServer,
): Promise<AsyncDisposable> {
  await server.command("CONFIG", "SET", "save", "3600 1000000");
  // A node of a cluster whose own folder is gone ends itself: the file's name is taken instead.
  const folder = (await server.command("CONFIG", "GET", "dir")).split("\r\n")
    .find((each) => each.startsWith("/")) ?? "";
  await Deno.mkdir(`${folder}/dump.rdb/in the way`, { recursive: true });
  await until("MISCONF", 60_000, async () => {
    await server.command("BGSAVE");
    return (await server.command("PING")).includes("MISCONF");
  });
  return {
    async [Symbol.asyncDispose]() {
      // Who cannot save does not end, either.
      await server.command("CONFIG", "SET", "save", "");
      await Deno.remove(`${folder}/dump.rdb`, { recursive: true });
    },
  };
}
