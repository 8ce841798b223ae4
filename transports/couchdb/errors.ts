import {
  AccessRefusedError,
  AuthenticationError,
  ConnectionError,
  type MessagingError,
  NotFoundError,
  PreconditionFailedError,
  PublishError,
} from "../../model/errors.ts";
import { maskSecrets } from "../../model/secrets.ts";

/** An answer of CouchDB that is an error. */
export interface Refusal {
  readonly status: number;
  /** CouchDB's word, such as `not_found`. */
  readonly error: string;
  /** CouchDB's words. */
  readonly reason: string;
}

/**
 * Reads what CouchDB says is wrong.
 *
 * @param status The status, 400 or more.
 * @param body The body, parsed.
 * @param secrets The secrets to mask: an answer may repeat its request.
 * @returns The refusal.
 */
export function readRefusal(
  status: number,
  body: unknown,
  secrets: readonly string[] = [],
): Refusal {
  const given = typeof body === "object" && body !== null ? body : {};
  const text = (value: unknown) =>
    typeof value === "string" ? maskSecrets(value, secrets) : "";
  return {
    status,
    error: "error" in given ? text(given.error) : "",
    reason: "reason" in given ? text(given.reason) : "",
  };
}

/** Says whether the server, or the database, is not what it was when we connected. */
export function isFatal({ status, error, reason }: Refusal): boolean {
  return status === 401 || status === 429 || status >= 500 ||
    // A document that is missing has other words.
    (status === 404 && error === "not_found" &&
      !/missing|deleted/.test(reason));
}

/**
 * Says whether somebody else has answered: CouchDB always says what is wrong, and a
 * gateway that does not find it has a status alone, that would mean something here.
 *
 * @param refusal The refusal in the answer.
 * @returns Whether it is none of CouchDB's.
 */
export function isForeign({ status, error }: Refusal): boolean {
  return error === "" && status < 500 && status !== 413 && status !== 429;
}

/**
 * Translates what CouchDB says is wrong with one request.
 *
 * @param action The action that failed, after `Cannot `.
 * @param refusal The refusal.
 * @returns The error.
 */
export function requestError(
  action: string,
  refusal: Refusal,
): MessagingError {
  const { status, error, reason } = refusal;
  const message = `Cannot ${action}: CouchDB answers ${status}${
    error === "" ? "" : ` ${error}`
  }${reason === "" ? "" : ` (${reason})`}`;
  switch (status) {
    case 401:
      return new AuthenticationError(
        `${message}; give a user and a password that it knows`,
      );
    case 403:
      return new AccessRefusedError(message);
    case 413:
      return new PublishError(message, { code: "message-too-large" });
  }
  if (isFatal(refusal)) {
    return new ConnectionError(message, {
      code: "connection-lost",
      outcome: "unknown",
    });
  }
  return status === 404
    ? new NotFoundError(message)
    : new PreconditionFailedError(message);
}

/**
 * Says why the network failed.
 *
 * @param cause The platform's error.
 * @returns The innermost words: `fetch failed` alone helps nobody.
 */
export function wordsOf(cause: unknown): string {
  const words: string[] = [];
  for (
    let each = cause;
    each instanceof Error && words.length < 4;
    each = each.cause
  ) if (each.message !== "") words.push(each.message);
  return words.length === 0 ? String(cause) : words.join(": ");
}

/** Carries what CouchDB says is wrong from its answer to who translates it. */
export class RefusedError extends Error {
  /** The refusal as CouchDB words it. */
  readonly refusal: Refusal;

  /** Makes one. */
  constructor(action: string, refusal: Refusal) {
    super(action);
    this.refusal = refusal;
  }
}
