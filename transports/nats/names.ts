/** How queues are named in NATS: a stream of its own for each, which `nats stream ls` shows. */

import { PreconditionFailedError } from "../../model/errors.ts";

/** The maximum number of bytes of a stream's name: that of a folder. */
const MAX_STREAM = 255;

/** The names of one queue. */
export interface QueueNames {
  /** Its stream. */
  readonly stream: string;
  /** The subject of its messages: what is published there by any client is in the queue. */
  readonly ready: string;
  /** Its delayed messages: a message's own name, and a token of chance, are appended. */
  readonly delayed: string;
  /** Its messages that could not be read. */
  readonly quarantine: string;
}

/**
 * Names what a queue has.
 *
 * @param prefix How all names begin.
 * @param queue The queue.
 * @returns The names. Characters that NATS keeps for itself are `%` and two hexadecimal digits.
 * @throws {PreconditionFailedError} If the queue's name has no form there.
 */
export function namesOf(prefix: string, queue: string): QueueNames {
  const token = tokenOf(queue);
  const stream = `${prefix}_${token}`;
  const bytes = new TextEncoder().encode(stream).byteLength;
  if (!queue.isWellFormed() || bytes > MAX_STREAM) {
    const why = queue.isWellFormed()
      ? `its stream's name would be ${bytes} bytes long, of ${MAX_STREAM} at most`
      : "half a surrogate pair has no form in UTF-8";
    throw new PreconditionFailedError(
      `Cannot use a queue named ${JSON.stringify(queue)}: ${why}`,
      { outcome: "not-sent" },
    );
  }
  const ready = `${prefix}.${token}`;
  return {
    stream,
    ready,
    delayed: `${ready}.delayed`,
    quarantine: `${ready}.quarantine`,
  };
}

/** Writes a text as one token of a subject. */
export function tokenOf(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex -- these are what NATS does not take
    /[\x00-\x20.*>/\\%\x7f]/g,
    (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
