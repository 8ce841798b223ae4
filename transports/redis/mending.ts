import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";
import { decode } from "./reply.ts";

const ACTION = "mend the bindings of an exchange";

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
          ACTION,
          [exchange, name, set, cursor, version, longest],
          options,
        );
        version ||= decode(seen);
        cursor = decode(next);
        longest = Number(expires);
      } while (cursor !== "0");
    }
    const args = [exchange, name, version, longest];
    if (await context.run("mendEnd", ACTION, args, options) === 1) return;
  }
}
