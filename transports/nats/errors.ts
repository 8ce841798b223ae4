import { errorText } from "../../model/error_text.ts";
import {
  AccessRefusedError,
  AuthenticationError,
  MessagingError,
  PreconditionFailedError,
  PublishError,
} from "../../model/errors.ts";
import {
  cannotConnect,
  lostBefore,
  notAnswered,
} from "../connection_errors.ts";

/** An answer of JetStream that is an error. */
export class JetStreamError extends Error {
  static {
    this.prototype.name = "JetStreamError";
  }
  /** A status, as HTTP's. */
  readonly status: number;
  /** JetStream's own number of the error; 0 where nobody answers at all. */
  readonly number: number;

  /** Makes one of an answer. */
  constructor(status: number, number: number, description: string) {
    super(description);
    this.status = status;
    this.number = number;
  }
}

/** The login has no permission. */
export class PermissionError extends Error {
  static {
    this.prototype.name = "PermissionError";
  }
}

/** JetStream's numbers of errors. */
export const CODES = {
  consumerExists: 10148,
  consumerNotFound: 10014,
  deleteFailed: 10057,
  messageNotFound: 10037,
  messageTooLarge: 10054,
  noSequence: 10043,
  streamInUse: 10058,
  streamNotFound: 10059,
  wrongSequence: 10071,
  wrongSequenceConstant: 10164,
} as const;

/** No room: for the account, the server, or its memory; the disk; a stream's own limit. */
const NO_ROOM = [10002, 10023, 10028, 10047, 10077];

/** Whether something was not kept for want of room, which acks make. */
export function isFull(error: unknown): boolean {
  return isOf(error, ...NO_ROOM);
}

/** Whether an error of JetStream has one of these numbers; 0 is one that nobody answers. */
export function isOf(error: unknown, ...numbers: readonly number[]): boolean {
  return error instanceof JetStreamError && numbers.includes(error.number);
}

/** Makes the library's error of the client's; `action` follows `Cannot `. */
export function translate(action: string, error: unknown): unknown {
  if (error instanceof MessagingError) return error;
  if (error instanceof PermissionError) {
    return new AccessRefusedError(`Cannot ${action}: ${error.message}`, {
      cause: error,
      outcome: "not-sent",
    });
  }
  if (!(error instanceof JetStreamError)) {
    return lostBefore(action, { cause: error, outcome: "unknown" });
  }
  const details = { cause: error, outcome: "not-sent" } as const;
  // No room, or no leader (503), which may change.
  return error.status < 500 && !isFull(error)
    ? new PreconditionFailedError(`Cannot ${action}: ${error.message}`, details)
    : new PublishError(`Cannot ${action}: ${error.message}`, {
      ...details,
      code: "publish-refused",
      retryable: true,
    });
}

/** Makes the library's error of a connection that could not be had. */
export function dialError(broker: string, error: unknown): Error {
  if (error instanceof MessagingError) return error;
  const action = `connect to "${broker}"`;
  const text = errorText(error);
  const name = error instanceof Error ? error.name : "";
  const details = { cause: error, outcome: "not-sent" } as const;
  if (/Authori[sz]ation|Authentication/i.test(`${name} ${text}`)) {
    return new AuthenticationError(`Cannot ${action}: ${text}`, details);
  }
  if (name === "TimeoutError") {
    return notAnswered(action, "not-sent", "the server");
  }
  if (isOf(error, 0)) {
    return new PreconditionFailedError(
      `Cannot ${action}: the server has no JetStream for this account; start it with -js, or "jetstream" in its configuration`,
      details,
    );
  }
  if (error instanceof PermissionError) {
    return new AccessRefusedError(`Cannot ${action}: ${text}`, details);
  }
  if (error instanceof JetStreamError) {
    return new PreconditionFailedError(`Cannot ${action}: ${text}`, details);
  }
  return cannotConnect(action, text, { cause: error });
}
