import { errorText } from "../../model/error_text.ts";
import {
  type ConnectionError,
  MessagingError,
  PreconditionFailedError,
} from "../../model/errors.ts";
import { cannotConnect, connectionLost } from "../connection_errors.ts";

/** SQLite's result codes, without what it adds to them. */
const [ERROR, BUSY, LOCKED, READONLY, CORRUPT, NOT_A_DATABASE] = [
  1,
  5,
  6,
  8,
  11,
  26,
];

/** SQLite's words for them: of `exec` Deno tells no code. */
const TEXTS: readonly (readonly [RegExp, number])[] = [
  [/database (table )?is locked/, BUSY],
  [/readonly database/, READONLY],
  [/disk image is malformed/, CORRUPT],
  [/file is not a database/, NOT_A_DATABASE],
];

/** Reads SQLite's result code of an error, as the runtimes tell it; `undefined` if it is none of SQLite's. */
function codeOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("errcode" in error && typeof error.errcode === "number") {
    return error.errcode & 0xff;
  }
  if (!("code" in error) || !String(error.code).includes("SQLITE")) {
    return undefined;
  }
  const { message } = error;
  const known = TEXTS.find(([text]) => text.test(message));
  return known?.[1] ?? ERROR;
}

/** Whether another process writes: it may be tried again. */
export function isBusy(error: unknown): boolean {
  const code = codeOf(error);
  return code === BUSY || code === LOCKED;
}

/** Makes the library's error of what happened when a file was opened. */
export function openError(broker: string, error: unknown): Error {
  if (error instanceof MessagingError) return error;
  const action = `connect to "${broker}"`;
  const code = codeOf(error);
  const text = errorText(error);
  if (code === CORRUPT || code === NOT_A_DATABASE) {
    return new PreconditionFailedError(
      `Cannot ${action}: the file is no database of SQLite: ${text}`,
      { cause: error, outcome: "not-sent" },
    );
  }
  if (code === READONLY) {
    return new PreconditionFailedError(
      `Cannot ${action}: the file, or its folder, cannot be written to: ${text}`,
      { cause: error, outcome: "not-sent" },
    );
  }
  return cannotConnect(action, text, { cause: error });
}

/** Makes the library's error of what happened in a transaction: nothing of it is there. */
export function failure(broker: string, error: unknown): unknown {
  if (error instanceof MessagingError || codeOf(error) === undefined) {
    return error;
  }
  return connectionLost(broker, errorText(error), {
    cause: error,
    outcome: "not-sent",
  });
}

/** The error of a call that waited too long for another process. */
export function stillBusy(broker: string): ConnectionError {
  return connectionLost(
    broker,
    "another process has kept the file locked for all of the time",
    { outcome: "not-sent" },
  );
}
