/** What comes from the server, and what it means. */

import { CODES, JetStreamError } from "./errors.ts";
import type { NatsHeaders } from "./headers.ts";

/** A message that came. */
export interface NatsMessage {
  readonly subject: string;
  readonly reply?: string | undefined;
  readonly data: Uint8Array;
  readonly headers?: NatsHeaders | undefined;
}

/** A subscription. */
export interface NatsSubscription {
  /** Ends it; resolves when all that was on its way has come. */
  drain(): Promise<void>;
  /** Ends it at once. */
  unsubscribe(): void;
}

const TEXT = new TextDecoder();

/** What the server says of a request for messages; 0: it is a message, which alone has a subject for its ack. */
export function statusOf({ headers, reply }: NatsMessage): number {
  return reply ? 0 : headers?.code ?? 0;
}

/** Reads an answer of JetStream; `nobody` is the error's number where nobody answers. */
export function answerOf(
  { data, headers }: NatsMessage,
  nobody: number = CODES.noResponders,
): Readonly<Record<string, unknown>> {
  if (headers?.code === 503) throw statusError(503, "", nobody);
  const answer: unknown = JSON.parse(TEXT.decode(data));
  const { error } = Object(answer);
  if (error !== undefined && error !== null) {
    const { code, err_code: number, description } = Object(error);
    throw new JetStreamError(
      Number(code),
      Number(number ?? 0),
      String(description),
    );
  }
  return Object(answer);
}

/** Makes the error of a status; `nobody` is its number where nobody answers. */
export function statusError(
  status: number,
  description: string,
  nobody: number = CODES.noResponders,
): JetStreamError {
  return status === 503
    ? new JetStreamError(
      status,
      nobody,
      description ||
        "nobody answers for it: it is not there, or its servers elect a leader",
    )
    : new JetStreamError(status, -1, description);
}
