/** Large hashes and sets of what is declared, in pieces. */

import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";
import { decode, listOf, type RedisReply } from "./reply.ts";

/** So many fields, or members, are read at once. */
const PAGE = 500;

/**
 * Goes through a hash or a set, page by page.
 *
 * @param context The connection.
 * @param command The command for its type.
 * @param key Its key.
 * @param options The call's limits.
 */
export async function* scan(
  { commands }: Context,
  command: "HSCAN" | "SSCAN",
  key: string,
  options?: CallOptions,
): AsyncIterable<readonly RedisReply[]> {
  let cursor = "0";
  do {
    const reply = await commands.send("read the declarations", [
      ...[command, key, cursor, "COUNT", PAGE] as const,
    ], options);
    const [next, page] = listOf(reply);
    cursor = decode(next);
    yield listOf(page ?? []);
  } while (cursor !== "0");
}

/**
 * Reads the fields of a hash, and their values.
 *
 * @param reply The answer.
 * @returns The pairs.
 */
export function pairs(reply: RedisReply | undefined): [string, string][] {
  const found: [string, string][] = [];
  if (!Array.isArray(reply)) return found;
  for (let i = 0; i < reply.length; i += 2) {
    found.push([decode(reply[i]), decode(reply[i + 1])]);
  }
  return found;
}
