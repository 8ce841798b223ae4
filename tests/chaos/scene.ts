/** A broker, and what goes wrong on the way to it, or with itself. */

import type { LastingServer } from "../brokers/server.ts";
import { Proxy } from "../support/proxy.ts";
import type { Fault, Random, ServerFault } from "./faults.ts";

/** The side of the network that a fault hits. */
export type Side = "sending" | "taking";

/** The place of a run: its broker, and the network. */
export interface Scene extends AsyncDisposable {
  /** The way on which nothing goes wrong. */
  readonly url: string;
  /** The ways of those that send, and of those that take. */
  readonly urls: Readonly<Record<Side, string>>;
  /** Lets it go wrong, and puts it right again. */
  happen(side: Side, random: Random): void | Promise<void>;
}

/** Both sides are behind a proxy each, on which it goes wrong. */
export function behindProxies(url: string, fault: Fault): Scene {
  const sending = Proxy.to(url);
  const taking = Proxy.to(url);
  return {
    url,
    urls: { sending: sending.urlOf(url), taking: taking.urlOf(url) },
    happen: (side, random) =>
      fault(side === "sending" ? sending : taking, random),
    async [Symbol.asyncDispose]() {
      await sending[Symbol.asyncDispose]();
      await taking[Symbol.asyncDispose]();
    },
  };
}

/** The server itself goes wrong, for both. It is the caller's. */
export function onServer(
  server: LastingServer,
  url: string,
  fault: ServerFault,
): Scene {
  return {
    url,
    urls: { sending: url, taking: url },
    happen: (_, random) => fault(server, random),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A file of SQLite, which processes share. Who was killed is missed after two seconds. */
export async function withSqliteFile(
  use: (url: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-chaos-" });
  try {
    await use(`sqlite:${folder}/chaos.db?visibility_timeout=2`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
