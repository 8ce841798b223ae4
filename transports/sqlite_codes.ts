/** SQLite's result codes, without what it adds to them. */
const [ERROR, BUSY, LOCKED] = [1, 5, 6];

/** Statements that were undone for now, in a file that is well: there is no memory, right to write or room. */
const PASSING: readonly number[] = [7, 8, 9, 13];

/** Statements that were undone for good: a value is too large, or a trigger, a constraint or a right forbids it. */
const FINAL: readonly number[] = [3, 4, 18, 19, 23];

/** The code of a file that cannot be written to. */
export const READONLY = 8;

/** The code of a disk that is full. */
const FULL = 13;

/** The code of a file that is damaged. */
export const CORRUPT = 11;

/** The code of a file of something else. */
export const NOT_A_DATABASE = 26;

/** SQLite's words for them: of `exec` Deno tells no code. */
const TEXTS: readonly (readonly [RegExp, number])[] = [
  [/database (table )?is locked/, BUSY],
  [/readonly database/, READONLY],
  [/disk is full/, FULL],
  [/disk image is malformed/, CORRUPT],
  [/file is not a database/, NOT_A_DATABASE],
];

/** Reads SQLite's result code of an error, as the runtimes tell it; `undefined` if it is none of SQLite's. */
export function codeOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("errcode" in error && typeof error.errcode === "number") {
    return error.errcode & 0xff;
  }
  if (!("code" in error) || !String(error.code).includes("SQLITE")) {
    return undefined;
  }
  if ("errno" in error && typeof error.errno === "number") {
    return error.errno & 0xff; // of Bun
  }
  const { message } = error;
  const known = TEXTS.find(([text]) => text.test(message));
  return known?.[1] ?? ERROR;
}

/** Whether a statement was refused in a file that is well: for good, or for now. */
export function refusalOf(error: unknown): "final" | "passing" | undefined {
  const code = codeOf(error) ?? ERROR;
  if (FINAL.includes(code)) return "final";
  return PASSING.includes(code) ? "passing" : undefined;
}

/** Whether the disk is full. */
export function isFull(error: unknown): boolean {
  return codeOf(error) === FULL;
}

/** Whether another process writes: it may be tried again. */
export function isBusy(error: unknown): boolean {
  const code = codeOf(error);
  return code === BUSY || code === LOCKED;
}
