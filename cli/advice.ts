import { errorText } from "../model/error_text.ts";
import { printable } from "../model/foreign_text.ts";
import { MessagingError } from "../mod.ts";

/** What to do, by the code of an error. */
const ADVICE: Readonly<Record<string, string>> = {
  "connection-failed":
    "Is the broker running, and may this machine reach its host and port? Is the scheme of the URL the broker's?",
  "authentication-failed":
    "Look at the user and the password in the URL; characters such as @ : / are written as %40 %3A %2F there.",
  "timed-out":
    "The broker, or something on the way to it, does not answer: look at its load, at firewalls, or give --timeout more seconds.",
  "access-refused":
    "The user lacks a permission for that: let an administrator grant it, or use another user.",
  "not-found": "Look at the spelling; dashi list shows what is there.",
  "message-unroutable": "Look at the spelling; dashi list shows what is there.",
  "precondition-failed":
    "If it is there already, it was declared otherwise: use another name, or delete it first.",
  "transport-unknown":
    "The URL begins with the broker: amqp:// redis:// mongodb:// sqs:// beanstalk:// couchdb:// postgres:// nats:// sqlite: memory://",
  "dependency-missing": "Install the client's package, as the error says.",
  "connection-lost":
    "Try again; if it goes on, the broker's log says why it ended the connection.",
};

/**
 * Says what to do about an error.
 *
 * @param error The error.
 * @returns The advice, if there is any.
 */
export function adviceFor(error: unknown): string | undefined {
  if (!(error instanceof MessagingError)) return undefined;
  // Without its virtual host or database nothing can be listed; the error says which is missing.
  if (error.code === "not-found" && /^Cannot connect/.test(error.message)) {
    return undefined;
  }
  // What is refused by its state was not declared by this call.
  if (
    error.code === "precondition-failed" &&
    !/^Cannot declare/.test(error.message)
  ) {
    return undefined;
  }
  return ADVICE[error.code];
}

/**
 * Says what an error says, in one line.
 *
 * @param error The error.
 * @returns The line.
 */
export function lineOf(error: unknown): string {
  return printable(errorText(error), 2000);
}
