/** The web server of `examples/outbox/`, its relay, its worker, and their own test. */

import { assertEquals } from "@std/assert";
import { hasRedis, startRedis } from "../brokers/redis.ts";
import { PATIENCE, readLines, start } from "./session.ts";
import "../../examples/outbox/outbox_test.ts";

Deno.test({
  name:
    "the server of the outbox takes an order while its broker is away, and the worker ships it once it is there",
  ignore: !hasRedis(),
  fn: async () => {
    const broker = await startRedis();
    const folder = await Deno.makeTempDir({ prefix: "dashi-example-" });
    const env = {
      PORT: "0",
      SHOP: `${folder}/shop.db`,
      STOCK: `${folder}/stock.db`,
    };
    try {
      // No broker listens there.
      const away = await run("redis://127.0.0.1:1", env, {
        posts: "tea",
        awaits: undefined,
      });
      assertEquals(away, undefined);
      const there = await run(broker.url, env, {
        posts: undefined,
        awaits: "order 1: tea",
      });
      assertEquals(there, "order 1: tea");
    } finally {
      await broker.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Starts server and worker, posts an order, waits for a line of the worker's, and ends both. */
async function run(
  url: string,
  env: Record<string, string>,
  { posts, awaits }: {
    readonly posts: string | undefined;
    readonly awaits: string | undefined;
  },
): Promise<string | undefined> {
  // It reads and writes files, as a program with a database does.
  const runtime = [Deno.execPath(), "run", "-A", "--quiet", "--no-check"];
  const stage = { url, env, runtime };
  const server = start(["deno", "run", "outbox/server.ts"], stage);
  const worker = awaits === undefined
    ? undefined
    : start(["deno", "run", "outbox/worker.ts"], stage);
  const all = worker === undefined ? [server] : [server, worker];
  const timer = setTimeout(() => {
    for (const each of all) each.kill("SIGKILL");
  }, PATIENCE);
  const said = Promise.withResolvers<string>();
  const done = Promise.withResolvers<string>();
  const reading = Promise.all([
    readLines(server.stdout, said.resolve),
    readLines(server.stderr, () => {}),
    ...worker === undefined ? [] : [
      readLines(worker.stdout, done.resolve),
      readLines(worker.stderr, done.resolve),
    ],
  ]);
  // Where all have ended, nothing more is said.
  reading.then(() => [said, done].forEach(({ resolve }) => resolve("")));
  try {
    const address = await said.promise;
    if (posts !== undefined) {
      const answer = await fetch(address, {
        method: "POST",
        body: JSON.stringify({ item: posts }),
      });
      assertEquals([answer.status, await answer.json()], [
        201,
        { id: 1, item: posts },
      ]);
    }
    return awaits === undefined ? undefined : await done.promise;
  } finally {
    for (const each of all) each.kill("SIGTERM");
    const ends = await Promise.all(all.map(({ status }) => status));
    clearTimeout(timer);
    await reading;
    assertEquals(ends.map(({ code }) => code), all.map(() => 0));
  }
}
