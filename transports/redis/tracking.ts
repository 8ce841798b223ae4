import type { CallOptions } from "../../model/call_options.ts";
import { INVALIDATE } from "./arrivals.ts";
import type { Caller } from "./client.ts";

/**
 * Subscribes to what the server tells of changed keys.
 *
 * @returns The socket's number, by which another names it in {@linkcode track}; `undefined` if the server does not let us.
 */
export async function subscribe(
  listener: Caller,
  options: CallOptions,
): Promise<number | undefined> {
  const action = "listen for changes";
  const id = await listener.ask(action, ["CLIENT", "ID"], options);
  if (typeof id !== "number") return undefined;
  const told = await listener.ask(action, ["SUBSCRIBE", INVALIDATE], options);
  return told === undefined ? undefined : id;
}

/** Asks the server to tell a listening client when keys change that a client's scripts read. */
export async function track(
  client: Caller,
  listener: number,
  options: CallOptions,
): Promise<boolean> {
  const action = "watch for changes";
  // Our own changes we know already (`NOLOOP`).
  const tracks = await client.ask(action, [
    ...["CLIENT", "TRACKING", "ON", "REDIRECT"] as const,
    ...[String(listener), "OPTIN", "NOLOOP"],
  ], options);
  if (tracks === undefined) return false; // a proxy, or an old server
  // Each call that is to be watched asks for it: where it may not, nothing is.
  const caches = ["CLIENT", "CACHING", "YES"] as const;
  const may = await client.ask(action, caches, options);
  return client.watching = may !== undefined;
}
