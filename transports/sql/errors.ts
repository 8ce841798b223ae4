import {
  AccessRefusedError,
  ChannelError,
  DecodeError,
  type MessagingError,
  PreconditionFailedError,
} from "../../model/errors.ts";
import { cannotConnect } from "../connection_errors.ts";

/** A transaction that the database has refused for a reason that may pass. */
class PassingError extends ChannelError {
  override readonly name: string = "ChannelError";
}

/** Whether the database has refused a transaction for a reason that may pass. */
export function mayPass(error: unknown): boolean {
  return error instanceof PassingError;
}

/** Whether one call may be the reason why the database has refused a transaction of several. */
export function isOfOne(error: unknown): boolean {
  return error instanceof PassingError || error instanceof AccessRefusedError ||
    error instanceof PreconditionFailedError || error instanceof DecodeError;
}

/**
 * Makes the error of a transaction that the database has refused, and rolled back: its disk
 * is full, somebody has a lock, a constraint of the user's forbids it. The connection is well.
 *
 * @param broker The URL, without the password.
 * @param text Why, in the database's words.
 * @param isFinal Whether the same will be refused again.
 * @param cause The client's error.
 * @returns The error.
 */
export function refused(
  broker: string,
  text: string,
  isFinal: boolean,
  cause: unknown,
): ChannelError {
  const details = { outcome: "not-sent", cause } as const;
  return isFinal
    ? new PreconditionFailedError(`Cannot use "${broker}": ${text}`, details)
    : new PassingError(`Cannot use "${broker}" now: ${text}`, {
      ...details,
      code: "channel-closed",
    });
}

/** Makes the error of a connection that cannot be had for such a refusal; any other error stays. */
export function notNow(action: string, error: MessagingError): MessagingError {
  return error.code === "channel-closed"
    ? cannotConnect(action, error.message, { cause: error })
    : error;
}
