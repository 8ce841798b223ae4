import { ChannelError, type MessagingError } from "../../model/errors.ts";
import { cannotConnect } from "../connection_errors.ts";

/**
 * Makes the error of a transaction that the database has refused, and rolled back: its disk
 * is full, somebody has a lock, an operator has cancelled it. The connection is well.
 *
 * @param broker The URL, without the password.
 * @param text Why, in the database's words.
 * @param cause The client's error.
 * @returns The error: the same may be tried again.
 */
export function refusedForNow(
  broker: string,
  text: string,
  cause?: unknown,
): ChannelError {
  return new ChannelError(`Cannot use "${broker}" now: ${text}`, {
    code: "channel-closed",
    retryable: true,
    outcome: "not-sent",
    cause,
  });
}

/** Makes the error of a connection that cannot be had for such a refusal; any other error stays. */
export function notNow(action: string, error: MessagingError): MessagingError {
  return error.code === "channel-closed"
    ? cannotConnect(action, error.message, { cause: error })
    : error;
}
