/** Starts a Redis of the tests' own, on loopback only. */

import {
  type BrokerRow,
  freePort,
  type LastingServer,
  until,
} from "./server.ts";

/** A Redis that a test may stop, kill and restart. */
export interface RedisServer extends LastingServer {
  readonly port: number;
  /** Starts it again after it was killed. */
  start(): Promise<void>;
  /** Sends a command, and returns what the server says: a line, or a number's. */
  command(...parts: string[]): Promise<string>;
}

/** Redis. */
export const REDIS: BrokerRow = {
  name: "REDIS",
  title: "Redis",
  service: "redis",
  serviceUrl: "redis://127.0.0.1:6379/0",
  servicePort: 6379,
  packages: Deno.build.os === "darwin" ? ["redis"] : ["redis-server"],
  isInstalled: hasRedis,
  start: () => startRedis(),
  startLasting: () => startRedis(),
};

/** Whether the server is on this machine. */
export function hasRedis(): boolean {
  try {
    return new Deno.Command("redis-server", {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  } catch {
    return false;
  }
}

/** What a server has taken it has written. */
const DURABLE = ["--save", "", "--appendonly", "yes"]
  .concat("--appendfsync", "always");

/** Starts a server in a new folder. What it has taken it has written, for a restart. */
export async function startRedis(
  options: {
    readonly arguments?: readonly string[];
    readonly port?: number;
    readonly password?: string;
    /** What stands in the place of a server's usual arguments: a sentinel's. */
    readonly program?: readonly string[];
  } = {},
): Promise<RedisServer> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-redis-" });
  const { port = freePort(), password } = options;
  let child: Deno.ChildProcess | undefined;
  const start = async () => {
    child = new Deno.Command("redis-server", {
      args: [
        ...options.program ?? [],
        ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder],
        ...(options.program === undefined ? DURABLE : []),
        ...(password === undefined ? [] : ["--requirepass", password]),
        ...options.arguments ?? [],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await until(`Redis on port ${port}`, 10_000, async () => {
      const answer = await command(port, ["PING"]);
      return /^\+PONG|NOAUTH/.test(answer);
    });
  };
  const end = async (signal: Deno.Signal) => {
    child?.kill(signal);
    await child?.status;
    child = undefined;
  };
  await start();
  const userinfo = password === undefined
    ? ""
    : `:${encodeURIComponent(password)}@`;
  return {
    url: `redis://${userinfo}127.0.0.1:${port}/0`,
    port,
    get pid() {
      return child?.pid ?? 0;
    },
    start,
    async restart(signal = "SIGTERM") {
      await end(signal);
      await start();
    },
    kill: () => end("SIGKILL"),
    command: (...parts) => command(port, parts, password),
    async stop() {
      await end("SIGTERM").catch(() => {});
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    },
  };
}

async function command(
  port: number,
  parts: readonly string[],
  password?: string,
): Promise<string> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    const lines = (words: readonly string[]) =>
      `*${words.length}\r\n${
        words.map((word) =>
          `$${new TextEncoder().encode(word).length}\r\n${word}\r\n`
        ).join("")
      }`;
    const reader = socket.readable.getReader();
    const writer = socket.writable.getWriter();
    const ask = async (words: readonly string[]) => {
      await writer.write(new TextEncoder().encode(lines(words)));
      const { value } = await reader.read();
      return new TextDecoder().decode(value).trimEnd();
    };
    if (password !== undefined) await ask(["AUTH", password]);
    return await ask(parts);
  } finally {
    try {
      socket.close();
    } catch {
      // The server was faster.
    }
  }
}
