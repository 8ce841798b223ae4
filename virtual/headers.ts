import type { FieldTable, FieldValue } from "../model/field_table.ts";
import { identify, sameValue } from "./field_value.ts";

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
 * argument of `null` matches any value, others what is equal: numbers by their value,
 * a `Date` to the second, bytes also to the text that they spell in UTF-8.
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
  const { any, withX } = kindOf(arguments_);
  for (const [name, wanted] of Object.entries(arguments_)) {
    if (wanted === undefined || !isAHeader(name, withX)) continue;
    // Not what every object inherits: a header may be named "constructor".
    const found = Object.hasOwn(headers, name) ? headers[name] : undefined;
    const matches = found !== undefined &&
      (wanted === null || wanted === found ||
        sameValue(textOf(wanted), textOf(found)));
    if (matches === any) return any;
  }
  return !any;
}

/**
 * Lists the headers that a binding wants, as {@linkcode matchHeaders} takes them.
 *
 * @param arguments_ The binding's arguments.
 * @returns Them, and whether any one will do.
 */
export function wantedHeaders(arguments_: FieldTable): {
  readonly any: boolean;
  readonly headers: readonly (readonly [string, FieldValue])[];
} {
  const { any, withX } = kindOf(arguments_);
  const headers: [string, FieldValue][] = [];
  for (const [name, wanted] of Object.entries(arguments_)) {
    if (wanted !== undefined && isAHeader(name, withX)) {
      headers.push([name, wanted]);
    }
  }
  return { any, headers };
}

/**
 * Writes a header's value so that two texts are equal where {@linkcode matchHeaders}
 * takes the values for equal.
 *
 * @param value The value.
 * @returns The text.
 */
export function headerKey(value: FieldValue): string {
  return identify(textOf(value));
}

function kindOf(arguments_: FieldTable): { any: boolean; withX: boolean } {
  const kind = arguments_["x-match"] ?? "all";
  return {
    any: kind === "any" || kind === "any-with-x",
    withX: kind === "all-with-x" || kind === "any-with-x",
  };
}

function isAHeader(name: string, withX: boolean): boolean {
  return name !== "x-match" && (withX || !name.startsWith("x-"));
}

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** To RabbitMQ a text is bytes, too. */
function textOf(value: FieldValue): FieldValue {
  return value instanceof Uint8Array ? UTF8.decode(value) : value;
}
