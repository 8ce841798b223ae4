import { errorText } from "../../model/error_text.ts";
import { findReplyCode, type ReplyCodeName } from "../../model/reply_code.ts";

/** A failure as the broker, or the socket, reports it. */
export interface Failure {
  /** AMQP's reply code by name, where the broker gave one. */
  readonly reply: ReplyCodeName | undefined;
  /** The broker's or the system's words. */
  readonly text: string;
  /** The client's error. */
  readonly cause: unknown;
}

/** More of an error's text than a client makes of a reply. */
const MAX_TEXT = 4000;

/** A channel or a connection that has ended without a word. */
export const SILENT: Failure = {
  reply: undefined,
  text: "the broker closed it",
  cause: "the broker closed it",
};

/**
 * Says what a client's error is about.
 *
 * @param cause The client's error.
 * @returns The broker's reply code and words, where it gave some.
 */
export function describe(cause: unknown): Failure {
  // No reply of AMQP's is longer, and these expressions take a time that grows faster than it.
  const text = errorText(cause).slice(0, MAX_TEXT);
  // @cloudamqp/amqp-client: "channel 1 closed: WORDS (404)".
  const [, told, reply] = /closed: (.*) \(([3-5]\d\d)\)$/s.exec(text) ?? [];
  if (told !== undefined) {
    return { reply: findReplyCode(Number(reply))?.name, text: told, cause };
  }
  const code = cause instanceof Error && "code" in cause &&
      typeof cause.code === "number"
    ? cause.code
    : Number(/(?:\b|"replyCode": )([3-5]\d\d)(?: \([A-Z]|,)/.exec(text)?.[1]);
  // amqplib wraps the broker's words: …with message "WORDS", or as JSON.
  const words = /with message "(.*)"$/s.exec(text)?.[1] ??
    /"replyText": "(.*)"/.exec(text)?.[1] ?? text;
  return { reply: findReplyCode(code)?.name, text: words, cause };
}
