import { DecodeError } from "../model/errors.ts";

/** A run of digits that may be an integer beyond 2^53: sixteen or more. */
const LONG_INTEGER = /[0-9]{16}/;

/** A string, a bare word of Python's, or whatever else stands between. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN|[^"INi-]+|./gs;

/** Stands for a bare word; a private-use character, so that no text has it by chance. */
const MARK = "\uE0DA";

/** The reviver's third argument, which newer runtimes give. */
interface ReviverContext {
  readonly source?: string;
}

/**
 * Reads JSON, and what Python writes beyond it: `NaN`, `Infinity`, `-Infinity` as
 * bare words, and integers of any size.
 *
 * @param text The text.
 * @returns What it says; integers beyond 2^53 are `bigint`.
 * @throws {DecodeError} If it is neither.
 */
export function parseLooseJson(text: string): unknown {
  try {
    return LONG_INTEGER.test(text)
      ? JSON.parse(text, reviveInteger)
      : JSON.parse(text);
  } catch (cause) {
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
    ? BigInt(source)
    : value;
}

function parseBareWords(text: string, cause: unknown): unknown {
  const marked = text.replace(
    TOKEN,
    (token) => /^(?:NaN|-?Infinity)$/.test(token) ? `"${MARK}${token}"` : token,
  );
  try {
    return JSON.parse(
      marked,
      (key, value, context?: ReviverContext) =>
        typeof value === "string" && value.startsWith(MARK)
          ? Number(value.slice(MARK.length))
          : reviveInteger(key, value, context),
    );
  } catch {
    throw notJson(text, cause);
  }
}

function notJson(text: string, cause: unknown): DecodeError {
  return new DecodeError(
    `Cannot decode a body of ${text.length} characters as JSON: it is not`,
    { cause },
  );
}
