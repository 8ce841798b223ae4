/** Large keys, which are gone through in pieces. */

import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";
import { decode, listOf, type RedisReply } from "./reply.ts";

/** So many fields, or members, are read at once. */
const PAGE = 500;

/**
 * Makes calls that each begin where the one before has ended.
 *
 * @param call Makes one from a cursor on; its answer is the next cursor, and what it has found.
 */
export async function* walk(
  call: (cursor: string) => Promise<RedisReply>,
): AsyncIterable<readonly RedisReply[]> {
  let cursor = "0";
  do {
    const [next, ...found] = listOf(await call(cursor));
    cursor = decode(next);
    yield found;
  } while (cursor !== "0");
}

/** Goes through a hash or a set of what is declared, page by page. */
export async function* scan(
  { commands }: Context,
  command: "HSCAN" | "SSCAN",
  key: string,
  options?: CallOptions,
): AsyncIterable<readonly RedisReply[]> {
  const pages = walk((cursor) =>
    commands.send("read the declarations", [
      ...[command, key, cursor, "COUNT", PAGE] as const,
    ], options)
  );
  for await (const [page] of pages) yield listOf(page ?? []);
}

/** Reads the fields of a hash, and their values. */
export function pairs(reply: RedisReply | undefined): [string, string][] {
  const found: [string, string][] = [];
  if (!Array.isArray(reply)) return found;
  for (let i = 0; i < reply.length; i += 2) {
    found.push([decode(reply[i]), decode(reply[i + 1])]);
  }
  return found;
}
