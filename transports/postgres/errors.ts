import { errorText } from "../../model/error_text.ts";
import {
  AccessRefusedError,
  AuthenticationError,
  MessagingError,
  NotFoundError,
  PreconditionFailedError,
} from "../../model/errors.ts";
import { cannotConnect, connectionLost } from "../connection_errors.ts";
import { notNow, refused } from "../sql/errors.ts";

/** PostgreSQL's five letters of an error; `undefined` if it is none of the server's. */
export function stateOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  const { code } = error;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)
    ? code
    : undefined;
}

/** Whether another transaction was in the way: the same may do now. */
export function isInTheWay(error: unknown): boolean {
  const state = stateOf(error);
  return state === "40P01" || state === "40001";
}

/** A server that takes no writes: a standby, or a user's setting. */
const READ_ONLY = "25006";

/** Makes the library's error of a connection that could not be had. */
export function dialError(broker: string, error: unknown): Error {
  const action = `connect to "${broker}"`;
  if (error instanceof MessagingError) {
    const { cause } = error;
    return stateOf(cause) === READ_ONLY
      ? cannotConnect(action, errorText(cause), { cause })
      : notNow(action, error);
  }
  const text = errorText(error);
  const details = { cause: error, outcome: "not-sent" } as const;
  switch (stateOf(error)) {
    case "28P01":
    case "28000":
      return new AuthenticationError(`Cannot ${action}: ${text}`, details);
    case "3D000":
      return new NotFoundError(`Cannot ${action}: ${text}`, details);
    case "42501":
      return new PreconditionFailedError(
        `Cannot ${action}: ${text}; the user needs the right to make a schema, or all rights to ours`,
        details,
      );
  }
  return cannotConnect(action, text, { cause: error });
}

/** A value, a constraint, a right or a limit forbids it, or a trigger of the user's. */
const FINAL = /^(2[123]|42|44|54|P0)/;

/**
 * Answers after which the session, the server or our tables are not what they were, which a
 * connection that is made anew finds out: it is cut off, another server is the primary now
 * (25006), it stood still within a transaction (25P03, 25P04), what was prepared is gone or
 * old (26, 0A), and so are tables (3D, 3F, 42P01, 42703).
 */
const GONE = /^(08|57P|25006|25P0[34]|26|0A|3D|3F|42P01|42703)/;

/** Of those the answers about schemas, tables and columns. */
const OF_TABLES = /^(3F|42)/;

/** Whether a function of the user's has failed, as a trigger's does: of our own statements the server tells no context. */
function isOfFunction(error: unknown): boolean {
  return error instanceof Error && "where" in error &&
    typeof error.where === "string";
}

/** Makes the library's error of what happened in a transaction; `isOver` says whether none of it is there. */
export function failure(
  broker: string,
  error: unknown,
  isOver: boolean,
): unknown {
  if (error instanceof MessagingError) return error;
  const state = stateOf(error);
  const text = errorText(error);
  if (
    state === undefined ||
    (GONE.test(state) && !(OF_TABLES.test(state) && isOfFunction(error)))
  ) {
    return connectionLost(broker, text, {
      cause: error,
      outcome: isOver ? "not-sent" : "unknown",
    });
  }
  const said = `${text} (${state})`;
  if (state !== "42501") {
    return refused(broker, said, FINAL.test(state), error);
  }
  return new AccessRefusedError(
    `Cannot use "${broker}": ${said}; the user needs all rights to our schema, its tables and sequences`,
    { cause: error, outcome: "not-sent" },
  );
}
