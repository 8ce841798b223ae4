/** Starts a Redis of the tests' own, on loopback only. */

import {
  Program,
  type ProgramServer,
  serverOf,
  startServer,
} from "./program.ts";
import type { BrokerRow } from "./server.ts";

/** A Redis that a test may stop, kill and restart. */
export interface RedisServer extends ProgramServer {
  readonly port: number;
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
  tests: /redis/i,
  isInstalled: hasRedis,
  version: redisVersion,
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

function redisVersion(): string {
  const { stdout } = new Deno.Command("redis-server", {
    args: ["--version"],
    stderr: "null",
  }).outputSync();
  return /v=(\S+)/.exec(new TextDecoder().decode(stdout))?.[1] ?? "unknown";
}

/** A server that has confirmed a write has written it to the disk. */
const DURABLE = ["--save", "", "--appendonly", "yes"]
  .concat("--appendfsync", "always");

/** The settings that a server of the tests' own is started with. */
export interface RedisOptions {
  readonly arguments?: readonly string[];
  readonly port?: number;
  /** Where its folder is. @default {among the temporary files} */
  readonly dir?: string;
  readonly password?: string;
  /** The arguments in place of a server's usual ones: a sentinel's. */
  readonly program?: readonly string[];
}

/** Starts a server in a new folder. A write that it has confirmed is on the disk, for a restart. */
export function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  return startServer(
    "redis",
    (port, folder) => startOn(port, folder, options),
    options.port,
    options.dir,
  );
}

async function startOn(
  port: number,
  folder: string,
  options: RedisOptions,
): Promise<RedisServer> {
  const { password } = options;
  const program = new Program({
    title: `Redis on port ${port}`,
    command: "redis-server",
    args: [
      ...options.program ?? [],
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder],
      ...(options.program === undefined ? DURABLE : []),
      ...(password === undefined ? [] : ["--requirepass", password]),
      ...options.arguments ?? [],
    ],
    log: `${folder}/redis.log`,
    timeout: 60_000,
    isReady: async (signal) =>
      /^\+PONG|NOAUTH/.test(await command(port, ["PING"], undefined, signal)),
  });
  await program.start();
  const userinfo = password === undefined
    ? ""
    : `:${encodeURIComponent(password)}@`;
  return serverOf(program, { folder }, {
    url: `redis://${userinfo}127.0.0.1:${port}/0`,
    port,
    command: (...parts: string[]) => command(port, parts, password),
  });
}

async function command(
  port: number,
  parts: readonly string[],
  password?: string,
  signal?: AbortSignal,
): Promise<string> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  // Another program may have taken the port, and say nothing.
  const close = () => socket.close();
  signal?.addEventListener("abort", close);
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
    signal?.removeEventListener("abort", close);
    try {
      socket.close();
    } catch {
      // The server was faster.
    }
  }
}
