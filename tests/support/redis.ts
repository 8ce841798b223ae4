/** Tests of the Redis transport's own, on servers of their own. */

import { Redis } from "ioredis";
import { createConnection } from "@dashi/mq";
import type { Connection, ConnectionOptions } from "@dashi/mq";
import { hasRedis, type RedisServer, startRedis } from "../brokers/redis.ts";
import { assertNothingLeft, resources } from "./leaks.ts";
import { ALL, LATER } from "./targets.ts";

/** Waits between attempts that suit a test. */
export const QUICK = {
  reconnect: { initialDelay: 10, maxDelay: 200 },
} as const;

/** Registers a test that has a server of its own, and leaves nothing open. */
export function test(
  name: string,
  run: (server: RedisServer) => Promise<void>,
  options: Parameters<typeof startRedis>[0] & {
    /** Milliseconds; a minute. */
    readonly patience?: number;
    /** Why it is left out; nothing where it is not. */
    readonly reason?: string | undefined;
  } = {},
): void {
  const { patience, reason, ...rest } = options;
  testAlone(
    name,
    async () => {
      const server = await startRedis(rest);
      try {
        await run(server);
      } finally {
        await server.stop();
      }
    },
    patience,
    false,
    reason,
  );
}

/** Registers a test that starts its servers by itself, and leaves nothing open; one that `isSlow` is left to `deno task faults`. */
export function testAlone(
  name: string,
  run: () => Promise<void>,
  patience = 180_000,
  isSlow = false,
  reason: string | undefined = undefined,
): void {
  const why = reason !== undefined
    ? reason
    : !hasRedis()
    ? "redis-server is not on this machine"
    : isSlow && !ALL
    ? LATER
    : undefined;
  Deno.test({
    name: `redis: ${name}${why === undefined ? "" : ` (${why})`}`,
    ignore: why !== undefined,
    fn: async () => {
      const before = resources();
      await inTime(run(), patience);
      await assertNothingLeft(before);
    },
  });
}

/** Fails a test that waits for what does not come, where it would wait for ever. */
async function inTime(
  running: Promise<void>,
  patience: number,
): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`it took ${patience / 1000} s`)),
    patience,
  );
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A client that looks at a server behind the library's back. */
export class Raw implements AsyncDisposable {
  readonly #redis: Redis;

  /** Connects. */
  constructor(port: number, options: { readonly password?: string } = {}) {
    this.#redis = new Redis({
      host: "127.0.0.1",
      port,
      ...options,
      disableClientInfo: true,
    });
    this.#redis.on("error", () => {});
  }

  /** Sends a command. */
  async send(name: string, ...args: (string | number)[]): Promise<unknown> {
    return await this.#redis.call(name, args);
  }

  /** A command whose answer is a number. */
  async number(name: string, ...args: (string | number)[]): Promise<number> {
    return Number(await this.send(name, ...args));
  }

  /** A command whose answer is texts. */
  async texts(name: string, ...args: (string | number)[]): Promise<string[]> {
    const answer = await this.send(name, ...args);
    return Array.isArray(answer) ? answer.map(String) : [];
  }

  /** The lines of `CLIENT LIST`, but for this client's own. */
  async clients(): Promise<string[]> {
    const [list, id] = [
      await this.send("CLIENT", "LIST"),
      await this.send("CLIENT", "ID"),
    ];
    return String(list).trim().split("\n")
      .filter((line) => !line.startsWith(`id=${id} `));
  }

  /** Disconnects. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#redis.once("end", resolve));
    this.#redis.disconnect();
    await ended;
  }
}

/** An envelope as Kombu publishes it to the fanout exchange `news`. */
export function envelope(
  payload: unknown,
  properties: Readonly<Record<string, unknown>> = {},
): string {
  const body = btoa(JSON.stringify(payload));
  const all = {
    delivery_mode: 2,
    delivery_info: { exchange: "news", routing_key: "" },
    priority: 0,
    body_encoding: "base64",
    ...properties,
    delivery_tag: crypto.randomUUID(),
  };
  return `{"body": "${body}", "content-encoding": "utf-8", "content-type": "application/json", "headers": {}, "properties": ${
    JSON.stringify(all).replaceAll('":', '": ').replaceAll(',"', ', "')
  }}`;
}

/** Makes a connection that tries again quickly. */
export function connectTo(
  url: string,
  options: ConnectionOptions = {},
): Connection {
  return createConnection(url, { ...QUICK, ...options });
}

/** Waits for the first event of a connection that says it is lost; begun at once. */
export function nextLoss(connection: Connection): Promise<Error> {
  const events = connection.events()[Symbol.asyncIterator]();
  const first = events.next();
  return (async () => {
    let result = await first;
    while (!result.done) {
      if (result.value.type === "lost") {
        await events.return?.();
        return result.value.error;
      }
      result = await events.next();
    }
    throw new Error("The connection was closed and not lost");
  })();
}

/** Lets real time pass, where that is what a test is about. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Numbers by chance, the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
