import { errorText } from "../../model/error_text.ts";
import {
  type ConnectionError,
  MessagingError,
  PreconditionFailedError,
} from "../../model/errors.ts";
import { cannotConnect, connectionLost } from "../connection_errors.ts";
import { codeOf, CORRUPT, NOT_A_DATABASE, READONLY } from "../sqlite_codes.ts";

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
