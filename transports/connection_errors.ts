/** The errors of connections that are alike on every transport. */

import { printable } from "../model/foreign_text.ts";
import {
  ChannelError,
  ClosedError,
  ConnectionError,
  type ErrorDetails,
  type Outcome,
  PreconditionFailedError,
  TimeoutError,
} from "../model/errors.ts";

/**
 * Says whether a system's or a client's text is about a certificate that is not trusted.
 *
 * @param text The text.
 * @returns Whether it is: then trying again does not help.
 */
export function isUntrusted(text: string): boolean {
  return /certificate|self.signed|unknown ?issuer/i.test(text);
}

/**
 * Makes the error of a connection that could not be had.
 *
 * @param action The action that failed, after `Cannot `.
 * @param text Why, in the system's, the client's or the broker's words.
 * @param details The cause, and what else is known.
 * @returns The error; retryable unless the details say otherwise, or the certificate is the reason.
 */
export function cannotConnect(
  action: string,
  text: string,
  details: ErrorDetails,
): ConnectionError {
  return new ConnectionError(`Cannot ${action}: ${advised(text)}`, {
    outcome: "not-sent",
    retryable: !isUntrusted(text),
    ...details,
    code: "connection-failed",
  });
}

/**
 * Makes the error of a connection that was lost.
 *
 * @param broker The broker's URL, without the password.
 * @param text Why, in the system's, the client's or the broker's words.
 * @param details The cause, and what else is known.
 * @returns The error; retryable unless the details say otherwise, or the certificate is the reason.
 */
export function connectionLost(
  broker: string,
  text: string,
  details: ErrorDetails = {},
): ConnectionError {
  return new ConnectionError(
    `Connection to "${broker}" was lost: ${advised(text)}`,
    {
      outcome: "unknown",
      retryable: !isUntrusted(text),
      ...details,
      code: "connection-lost",
    },
  );
}

function advised(text: string): string {
  return isUntrusted(text)
    ? `its certificate cannot be trusted (${text}); give the authority's as tls: { ca }`
    : text;
}

/**
 * Makes the error of a call that came after its connection was lost.
 *
 * @param action The action that failed, after `Cannot `.
 * @param details Why it was lost.
 * @returns The error; nothing was sent.
 */
export function lostBefore(
  action: string,
  details: ErrorDetails = {},
): ConnectionError {
  return new ConnectionError(`Cannot ${action}: the connection was lost`, {
    outcome: "not-sent",
    ...details,
    code: "connection-lost",
  });
}

/**
 * Makes the error of a call on a connection that was closed.
 *
 * @param action The action that failed, after `Cannot `.
 * @param details Further details.
 * @returns The error.
 */
export function connectionClosed(
  action: string,
  details: ErrorDetails = {},
): ClosedError {
  return new ClosedError(
    `Cannot ${action}: the connection is closed`,
    details,
  );
}

/**
 * Makes the error of a call that still waited when its connection had ended.
 *
 * @param cause Why it was lost; `undefined`: it was closed.
 * @returns The error; whether the call took effect is not known.
 */
export function endedMeanwhile(
  cause: Error | undefined,
): ConnectionError | ClosedError {
  const action = "wait for an answer";
  return cause === undefined
    ? connectionClosed(action, { outcome: "unknown" })
    : lostBefore(action, { cause, outcome: "unknown" });
}

/**
 * Makes the error of a call whose answer did not come by its deadline.
 *
 * @param action The action that failed, after `Cannot `.
 * @param outcome Whether it may have taken effect.
 * @param server The name of what has not answered.
 * @returns The error.
 */
export function notAnswered(
  action: string,
  outcome: Outcome,
  server = "the broker",
): TimeoutError {
  return new TimeoutError(
    `Cannot ${action} in time: ${server} has not answered`,
    { outcome },
  );
}

/**
 * Makes the error of a process that meets what a version of another layout has written.
 *
 * @param what The part that has the layout, as in `its keys`.
 * @param found The layout that is there.
 * @param known The layout that this version knows.
 * @returns The error.
 */
export function otherLayout(
  what: string,
  found: unknown,
  known: number,
): PreconditionFailedError {
  return new PreconditionFailedError(
    `Cannot use the database: ${what} have layout ${
      JSON.stringify(found)
    }, and this version of the library knows layout ${known}; upgrade this process`,
    { outcome: "not-sent" },
  );
}

/** A server takes no writes for now. Nothing was done, and what is held is held still. */
export class NotNowError extends ChannelError {
  override readonly name: string = "ChannelError";
  /** The server's own words, shortened where they are long. */
  readonly reply: string;

  /** Makes one for an action, which follows `Cannot `. */
  constructor(action: string, reply: string, cause: unknown) {
    super(`Cannot ${action} now: ${reply}`, {
      cause,
      code: "channel-closed",
      outcome: "not-sent",
    });
    this.reply = printable(reply);
  }
}
