import { DecodeError } from "../model/errors.ts";
import { readBigInt } from "./big_int.ts";

/** A run of digits that may be an integer beyond 2^53: sixteen or more. */
const LONG_INTEGER = /[0-9]{16}/;

/** Matches the beginning of a string, or a bare word of Python's. */
const NEXT = /"|-?Infinity|NaN/g;

/** The bare words of Python, as texts that stand in their place. */
interface BareWords {
  /** Stands before each. Nobody who writes a body knows it. */
  readonly mark: string;
  readonly values: ReadonlyMap<unknown, number>;
}

/** Made when it is needed: on Workers nothing is left to chance while a module is loaded. */
let bareWords: BareWords | undefined;

function makeBareWords(): BareWords {
  const mark = crypto.randomUUID();
  const words = [NaN, Infinity, -Infinity];
  return {
    mark,
    values: new Map(words.map((word) => [`${mark}${word}`, word])),
  };
}

/** The reviver's third argument, which newer runtimes give. */
interface ReviverContext {
  readonly source?: string;
}

/**
 * Reads JSON, and what Python writes beyond it: `NaN`, `Infinity`, `-Infinity` as
 * bare words, and integers of as many digits as Python reads. The time that it takes
 * grows as the text does, whatever is in it.
 *
 * @param text The text.
 * @returns The payload; integers beyond 2^53 are `bigint`.
 * @throws {DecodeError} If it is neither.
 */
export function parseLooseJson(text: string): unknown {
  try {
    return LONG_INTEGER.test(text)
      ? JSON.parse(text, reviveInteger)
      : JSON.parse(text);
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause;
    if (/NaN|Infinity/.test(text)) return parseBareWords(text, cause);
    throw notJson(text, cause);
  }
}

function reviveInteger(
  _key: string,
  value: unknown,
  context?: ReviverContext,
): unknown {
  const source = context?.source;
  return typeof value === "number" && !Number.isSafeInteger(value) &&
      source !== undefined && /^-?\d+$/.test(source)
    ? readBigInt(source)
    : value;
}

function parseBareWords(text: string, cause: unknown): unknown {
  const { mark, values } = bareWords ??= makeBareWords();
  const marked = markBareWords(text, mark);
  if (marked === undefined) throw notJson(text, cause);
  try {
    return JSON.parse(
      marked,
      (key, value, context?: ReviverContext) => {
        if (key.startsWith(mark)) throw new SyntaxError("a bare word as a key");
        return values.get(value) ?? reviveInteger(key, value, context);
      },
    );
  } catch (error) {
    if (error instanceof DecodeError) throw error;
    throw notJson(text, cause);
  }
}

/** Makes strings of bare words; `undefined` where a string has no end. */
function markBareWords(text: string, mark: string): string | undefined {
  const parts: string[] = [];
  let from = 0;
  NEXT.lastIndex = 0;
  for (
    let found = NEXT.exec(text);
    found !== null;
    found = NEXT.exec(text)
  ) {
    const [word] = found;
    if (word === '"') {
      const end = endOfString(text, found.index + 1);
      if (end < 0) return undefined;
      NEXT.lastIndex = end;
    } else {
      parts.push(text.slice(from, found.index), `"${mark}${word}"`);
      from = NEXT.lastIndex;
    }
  }
  return parts.join("") + text.slice(from);
}

/** Returns the end of a string, behind its closing quote; negative if it has none. */
function endOfString(text: string, start: number): number {
  for (
    let quote = text.indexOf('"', start);
    quote >= 0;
    quote = text.indexOf('"', quote + 1)
  ) {
    // Each backslash is looked at once: they end at the quote before.
    let first = quote;
    while (first > start && text[first - 1] === "\\") first--;
    if ((quote - first) % 2 === 0) return quote + 1;
  }
  return -1;
}

function notJson(text: string, cause: unknown): DecodeError {
  return new DecodeError(
    `Cannot decode a body of ${text.length} characters as JSON: it is not`,
    { cause },
  );
}
