/** Places in the text of JSON, so that it can be changed without being read and written again. */

/** The range of a value in a JSON text. */
export interface Place {
  readonly start: number;
  /** Behind its last character. */
  readonly end: number;
}

/**
 * Finds the members of an object by their keys; of two with one key the last, as parsers do.
 *
 * @returns The members, or `undefined` where no whole object begins there.
 */
export function membersAt(
  text: string,
  at: number,
): ReadonlyMap<string, Place> | undefined {
  if (text[at] !== "{") return undefined;
  const members = new Map<string, Place>();
  let i = skipSpace(text, at + 1);
  if (text[i] === "}") return members;
  for (;;) {
    if (text[i] !== '"') return undefined;
    const last = endOfString(text, i);
    const key = text.slice(i + 1, last - 1);
    i = skipSpace(text, last);
    if (text[i] !== ":") return undefined;
    const start = skipSpace(text, i + 1);
    const end = endOfValue(text, start);
    if (end <= start) return undefined;
    members.set(key, { start, end });
    i = skipSpace(text, end);
    if (text[i] === "}") return members;
    if (text[i] !== ",") return undefined;
    i = skipSpace(text, i + 1);
  }
}

/**
 * Finds where a value ends.
 *
 * @returns The place behind it; of a value that is cut off, the end of the text.
 */
export function endOfValue(text: string, at: number): number {
  if (text[at] === '"') return endOfString(text, at);
  if (text[at] !== "{" && text[at] !== "[") return search(SCALAR_END, text, at);
  let depth = 0;
  for (let i = at; i < text.length;) {
    i = search(STRUCTURE, text, i);
    const character = text[i];
    if (character === '"') {
      i = endOfString(text, i);
      continue;
    }
    i++;
    depth += character === "{" || character === "[" ? 1 : -1;
    if (depth === 0) return i;
  }
  return text.length;
}

/** Passes over white space. */
export function skipSpace(text: string, at: number): number {
  return search(NO_SPACE, text, at);
}

const STRUCTURE = /["{}[\]]/g;
const SCALAR_END = /[,\]}\s]/g;
const NO_SPACE = /[^\s]/g;

function search(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.index ?? text.length;
}

function endOfString(text: string, at: number): number {
  for (let i = at + 1;;) {
    const quote = text.indexOf('"', i);
    if (quote < 0) return text.length;
    let slashes = 0;
    while (text[quote - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return quote + 1;
    i = quote + 1;
  }
}
