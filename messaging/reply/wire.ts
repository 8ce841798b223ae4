import { failureHeaders } from "../consume/failure_headers.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import { asError } from "../../model/error_text.ts";
import { RemoteError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";

/** When nobody waits for the answer any more: a request's header, ms since 1970. */
export const DEADLINE = "x-deadline";

/** The header that marks an answer that is no payload. */
const KIND = "x-reply";

/** The prefix of reply addresses that go past all queues: nobody can say of them whether they reach somebody. */
export const DIRECT = "amq.rabbitmq.reply-to.";

/**
 * Makes the headers of an answer that says that the handler has failed.
 *
 * @param thrown The thrown value.
 * @param now The time, ms since 1970.
 * @param secrets Secrets that must not be shown.
 * @returns Its headers, without a stack.
 */
export function errorHeaders(
  thrown: unknown,
  now: number,
  secrets: readonly string[],
): FieldTable {
  const code = codeOf(thrown);
  return {
    ...failureHeaders(asError(thrown), now, secrets),
    [KIND]: "error",
    ...(code === undefined ? {} : { "x-error-code": code }),
  };
}

/**
 * Reads the error that an answer tells of.
 *
 * @param headers Its headers.
 * @returns The error; `undefined` if it has a payload.
 */
export function errorIn(
  headers: FieldTable | undefined,
): RemoteError | undefined {
  if (headers?.[KIND] !== "error") return undefined;
  return new RemoteError(
    text(headers["x-error-message"]) ?? "an error that says nothing",
    {
      remoteName: text(headers["x-error-name"]),
      remoteCode: text(headers["x-error-code"]),
    },
  );
}

/**
 * Reads how long somebody still waits for the answer to a request. By the clocks of both,
 * and never longer than the request may wait in its queue, nor than any message may wait:
 * a deadline of others may be any number.
 *
 * @param headers The request's headers.
 * @param expiration How long it may wait in a queue, ms.
 * @param now The time, ms since 1970.
 * @returns Milliseconds; `undefined` if the request does not say.
 */
export function timeLeft(
  headers: FieldTable,
  expiration: number | undefined,
  now: number,
): number | undefined {
  const given = headers[DEADLINE];
  const deadline = typeof given === "bigint" ? Number(given) : given;
  if (typeof deadline !== "number" || !Number.isFinite(deadline)) {
    return expiration;
  }
  return Math.min(deadline - now, expiration ?? MAX_WAIT, MAX_WAIT);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A code of others may be anything; it may also be a getter that throws. */
function codeOf(thrown: unknown): string | undefined {
  try {
    if (Object(thrown) !== thrown) return undefined;
    const { code } = thrown as { readonly code?: unknown };
    if (typeof code === "number") return String(code);
    return typeof code === "string" && code !== ""
      ? code.toWellFormed().slice(0, 63)
      : undefined;
  } catch {
    return undefined;
  }
}
