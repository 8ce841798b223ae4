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
  /** JetStream's own number of the error, or one of ours. */
  readonly number: number;

  /** Makes one of an answer. */
  constructor(status: number, number: number, description: string) {
    super(description || `status ${status}`);
    this.status = status;
    this.number = number;
  }
}

/** The login has no permission. */
export class PermissionError extends Error {
  static {
    this.prototype.name = "PermissionError";
  }

  /** Makes one that names what a permission would: the subject of an ack has the message's numbers. */
  constructor(action: "publish" | "subscribe", subject: string) {
    const right = subject.replace(/^(\$JS\.ACK\.).*/, "$1>");
    super(`the login has no permission to ${action} to "${right}"`);
  }
}

/** JetStream's numbers of errors. */
export const CODES = {
  consumerExists: 10148,
  consumerNotFound: 10014,
  deleteFailed: 10057,
  messageNotFound: 10037,
  messageTooLarge: 10054,
  /** Nobody answers for JetStream's API. */
  noJetStream: 0,
  /** Nobody answers for a subject: no stream has it, or its servers elect one that does. */
  noResponders: 1,
  noSequence: 10043,
  streamInUse: 10058,
  streamNotFound: 10059,
  wrongSequence: 10071,
  wrongSequenceConstant: 10164,
} as const;

/** No room: for the account, the server, or its memory; the disk; a stream's own limit. */
const NO_ROOM = [10002, 10023, 10028, 10047, 10077];

/**
 * How long a stream is waited for that is there, and does not answer, or servers that elect
 * one that does, ms: an election takes up to nine seconds, and may have to be held again.
 */
export const PATIENCE = 30_000;

/** The longest time between two tries of that, ms. */
export const LONGEST_PAUSE = 500;

/** JetStream is off: nobody answers, for the account, or at all. */
const NO_JETSTREAM = [CODES.noJetStream, 10039, 10076];

/**
 * A cluster says that it elects a leader, and has one in a moment; or that the same message was
 * sent before, and is not yet with as many servers as it must be.
 */
export const ELECTING: readonly number[] = [10008, 10009, 10158];

/** Whether something was not kept for want of room, which acks make. */
export function isFull(error: unknown): boolean {
  return isOf(error, ...NO_ROOM);
}

/** Whether an error of JetStream has one of these numbers. */
export function isOf(error: unknown, ...numbers: readonly number[]): boolean {
  return error instanceof JetStreamError && numbers.includes(error.number);
}

/** Whether a stream, or its consumer, is not there. */
export function isMissing(error: unknown): boolean {
  return isOf(
    error,
    CODES.consumerNotFound,
    CODES.noResponders,
    CODES.streamNotFound,
  );
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
  const told = errorText(error);
  // The client's words where the server hung up, and the system told of no error.
  const text = /undefined error/.test(told) ? "the server closed it" : told;
  const name = error instanceof Error ? error.name : "";
  const details = { cause: error, outcome: "not-sent" } as const;
  if (/Authori[sz]ation|Authentication/i.test(`${name} ${text}`)) {
    return new AuthenticationError(`Cannot ${action}: ${text}`, details);
  }
  if (name === "TimeoutError") {
    return notAnswered(action, "not-sent", "the server");
  }
  if (isOf(error, ...NO_JETSTREAM)) {
    return new PreconditionFailedError(
      `Cannot ${action}: the server has no JetStream for this account; start it with -js, or "jetstream" in its configuration`,
      details,
    );
  }
  if (error instanceof PermissionError) {
    return new AccessRefusedError(`Cannot ${action}: ${text}`, details);
  }
  if (
    error instanceof JetStreamError &&
    !isOf(error, CODES.noResponders, ...ELECTING)
  ) {
    return new PreconditionFailedError(`Cannot ${action}: ${text}`, details);
  }
  return cannotConnect(action, text, { cause: error });
}
