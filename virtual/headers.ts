import type { FieldTable } from "../model/field_table.ts";
import { sameValue } from "./field_value.ts";

/** The values of `x-match`. */
export const X_MATCH: readonly string[] = [
  "all",
  "any",
  "all-with-x",
  "any-with-x",
];

/**
 * Says whether a message's headers match a binding of a headers exchange, by
 * RabbitMQ's rules. `x-match` is `all` (the default) or `any`; arguments whose
 * names begin with `x-` are ignored, but for `all-with-x` and `any-with-x`. An
 * argument of `null` matches any value; numbers match by their value, others what is of
 * the same type and equal.
 *
 * @param arguments_ The binding's arguments.
 * @param headers The message's headers.
 * @returns Whether they match.
 *
 * @example Any of two
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { matchHeaders } from "@dashi/mq/virtual";
 *
 * const binding = { "x-match": "any", format: "pdf", pages: 3 };
 * assertEquals(matchHeaders(binding, { format: "pdf", pages: 1 }), true);
 * assertEquals(matchHeaders(binding, { format: "zip" }), false);
 * ```
 */
export function matchHeaders(
  arguments_: FieldTable,
  headers: FieldTable,
): boolean {
  const kind = arguments_["x-match"] ?? "all";
  const withX = kind === "all-with-x" || kind === "any-with-x";
  const any = kind === "any" || kind === "any-with-x";
  for (const [name, wanted] of Object.entries(arguments_)) {
    if (wanted === undefined || name === "x-match") continue;
    if (name.startsWith("x-") && !withX) continue;
    const found = headers[name];
    const matches = found !== undefined &&
      (wanted === null || sameValue(wanted, found));
    if (matches === any) return any;
  }
  return !any;
}
