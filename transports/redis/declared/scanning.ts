/** Large keys, which are gone through in pieces. */

import type { CallOptions } from "../../../model/call_options.ts";
import type { Context } from "../context.ts";
import { decode, listOf, type RedisReply } from "../reply.ts";

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

const MEND = "mend the bindings of an exchange";

/** It begins again so often where the tables change meanwhile; the next read does so, too. */
const ATTEMPTS = 5;

/**
 * Brings back a set of bindings that was evicted, or deleted by hand, where there are so many
 * that one script would hold up the server. Nobody sees a part of it.
 */
export async function mendInPieces(
  context: Context,
  exchange: string,
  options?: CallOptions,
): Promise<void> {
  for (let i = 0; i < ATTEMPTS; i++) {
    const name = crypto.randomUUID();
    let version = "";
    let longest = 0;
    for (const set of ["permanent", "bound"]) {
      let cursor = "0";
      do {
        const [seen, next, expires] = await context.runList(
          "mendPiece",
          MEND,
          [exchange, name, set, cursor, version, longest],
          options,
        );
        version ||= decode(seen);
        cursor = decode(next);
        longest = Number(expires);
      } while (cursor !== "0");
    }
    const args = [exchange, name, version, longest];
    if (await context.run("mendEnd", MEND, args, options) === 1) return;
  }
}
