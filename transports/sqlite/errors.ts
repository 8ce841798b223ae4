import { errorText } from "../../model/error_text.ts";
import {
  ChannelError,
  DecodeError,
  MessagingError,
  PreconditionFailedError,
} from "../../model/errors.ts";
import { cannotConnect, connectionLost } from "../connection_errors.ts";
import {
  codeOf,
  CORRUPT,
  NOT_A_DATABASE,
  READONLY,
  refusalOf,
} from "../sqlite_codes.ts";
import { notNow, refused } from "../sql/errors.ts";

/** Of a file whose pages are not what SQLite wrote there. */
const DAMAGED =
  "the file is damaged; put back a good one, or remove it, and it is made anew";

/** Makes the library's error of what happened when a file was opened. */
export function openError(broker: string, error: unknown): Error {
  const action = `connect to "${broker}"`;
  const text = errorText(error);
  if (error instanceof MessagingError) {
    const at = text.indexOf(DAMAGED);
    return at < 0 ? notNow(action, error) : new PreconditionFailedError(
      `Cannot ${action}: ${text.slice(at)}`,
      { cause: error, outcome: "not-sent" },
    );
  }
  const code = codeOf(error);
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
  if (error instanceof MessagingError) return error;
  if (error instanceof RangeError) {
    return new DecodeError(
      `Cannot read a row of "${broker}": ${errorText(error)}`,
      { cause: error },
    );
  }
  if (/database is not open|closed database/.test(errorText(error))) {
    return connectionLost(broker, "somebody has closed the client underneath", {
      cause: error,
      outcome: "not-sent",
    });
  }
  const code = codeOf(error);
  if (code === undefined) return error;
  if (code === CORRUPT || code === NOT_A_DATABASE) {
    return connectionLost(broker, `${DAMAGED}: ${errorText(error)}`, {
      cause: error,
      outcome: "not-sent",
    });
  }
  const refusal = refusalOf(error);
  if (refusal !== undefined) {
    return refused(broker, errorText(error), refusal === "final", error);
  }
  return connectionLost(broker, errorText(error), {
    cause: error,
    outcome: "not-sent",
  });
}

/** The error of a call that waited too long for another process. */
export function stillBusy(broker: string): ChannelError {
  return new ChannelError(
    `Cannot use "${broker}" now: another process has kept the file locked for all of the time`,
    { code: "channel-closed", outcome: "not-sent" },
  );
}
