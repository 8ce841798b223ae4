/** Corners of a real Redis for tests, and what lies in them. */

import { Redis } from "ioredis";
import {
  type Connection,
  type ConnectionOptions,
  createConnection,
} from "@dashi/mq";
import { assertNothingLeft, resources } from "./leaks.ts";

const url = Deno.env.get("DASHI_TEST_REDIS_URL");
const reason = Deno.env.get("DASHI_TEST_REDIS_REASON") ??
  "run it by deno task test, which provides Redis";

/** A key of a fixture: its type, and what it holds. */
export type Key =
  | { readonly type: "list" | "set"; readonly value: readonly string[] }
  | { readonly type: "hash"; readonly value: Readonly<Record<string, string>> };

export type Keys = Readonly<Record<string, Key>>;

export interface Place {
  readonly connection: Connection;
  readonly redis: Redis;
  /** Stands before every key: each case has the database for itself. */
  readonly prefix: string;
  keys(): Promise<Keys>;
}

/** A test with a corner of the database of its own. */
export function onRedis(
  name: string,
  run: (place: Place) => Promise<void>,
  transportOptions: NonNullable<ConnectionOptions["transportOptions"]> = {},
): void {
  const why = url === undefined ? ` (${reason})` : "";
  Deno.test({
    name: `redis: ${name}${why}`,
    ignore: url === undefined,
    async fn() {
      const before = resources();
      const prefix = `golden-${crypto.randomUUID()}:`;
      const redis = new Redis(url ?? "", { protocol: 2 });
      const connection = createConnection(url ?? "", {
        transportOptions: { ...transportOptions, globalKeyPrefix: prefix },
      });
      try {
        await run({
          connection,
          redis,
          prefix,
          keys: () => keysOf(redis, prefix),
        });
      } finally {
        await connection.close();
        const left = await redis.keys(`${prefix}*`);
        if (left.length > 0) await redis.del(left);
        const ended = new Promise((resolve) => redis.once("end", resolve));
        await redis.quit();
        await ended;
      }
      await assertNothingLeft(before);
    },
  });
}

async function keysOf(redis: Redis, prefix: string): Promise<Keys> {
  const keys: Record<string, Key> = {};
  for (const key of (await redis.keys(`${prefix}*`)).sort()) {
    const name = key.slice(prefix.length);
    // Our own, and the second set of bindings, which Kombu has since 5.7.
    if (/^dashi\.|^_kombu\.binding_permanent\./.test(name)) continue;
    switch (await redis.type(key)) {
      case "list":
        keys[name] = { type: "list", value: await redis.lrange(key, 0, -1) };
        break;
      case "set":
        keys[name] = { type: "set", value: (await redis.smembers(key)).sort() };
        break;
      case "hash":
        keys[name] = { type: "hash", value: await redis.hgetall(key) };
    }
  }
  return keys;
}
