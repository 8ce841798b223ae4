/**
 * Characters that a terminal, a log or an editor would obey instead of showing them:
 * control characters of C0 and C1, those that turn the direction of writing or show nothing
 * at all, separators of lines, and halves of surrogate pairs.
 */
const UNFIT = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** How much of a foreign text is shown by default, in UTF-16 units. */
const SHOWN = 200;

/**
 * Makes a foreign text fit for an error, a log or a terminal: what is unfit is shown
 * as its escape sequence (`\n`, `\u001b`), and what is long is cut off and counted.
 * Foreign is what a server, a message or a caller has given.
 *
 * @param text The text.
 * @param most The maximum number of UTF-16 units of it that are shown. @default {200}
 * @returns The text to show, in one line.
 *
 * @example A server's words
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { printable } from "./foreign_text.ts";
 *
 * assertEquals(printable("no\x1b[2J"), "no\\u001b[2J");
 * assertEquals(printable("x".repeat(5000), 3), "xxx… (5000 characters)");
 * ```
 */
export function printable(text: string, most: number = SHOWN): string {
  const isLong = text.length > most;
  // Cut first: nothing is done to megabytes of which a line is shown.
  const shown = (isLong ? text.slice(0, most) : text).replace(UNFIT, escape);
  return isLong ? `${shown}… (${text.length} characters)` : shown;
}

/**
 * Quotes something foreign in an error: a text as {@linkcode printable} shows it and in
 * double quotes, a number or the like by itself, and of all else the type alone, for
 * nobody knows what it holds.
 *
 * @param value The value as it was given.
 * @param most The maximum number of UTF-16 units of a text that are shown. @default {200}
 * @returns The text to show.
 */
export function quote(value: unknown, most: number = SHOWN): string {
  switch (typeof value) {
    case "string":
      return `"${printable(value, most)}"`;
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    case "bigint":
      // Its digits take long to write, and nobody wants to read them.
      return value === BigInt.asIntN(64, value) ? `${value}` : "a large bigint";
    case "object":
      return value === null
        ? "null"
        : Array.isArray(value)
        ? "an array"
        : "an object";
    case "function":
    case "symbol":
      return `a ${typeof value}`;
  }
}

const SHORT: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function escape(char: string): string {
  const short = SHORT.get(char);
  if (short !== undefined) return short;
  let text = "";
  for (let i = 0; i < char.length; i++) {
    text += `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`;
  }
  return text;
}
