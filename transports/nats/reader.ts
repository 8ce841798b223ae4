import type { NatsMessage } from "./answers.ts";
import type { NatsClient } from "./client.ts";
import { CODES, isOf } from "./errors.ts";

/** A message as it lies in a stream. */
export interface Stored {
  readonly sequence: number;
  readonly subject: string;
  /** When it was put, ms since 1970 by the server. */
  readonly at: number;
  readonly message: NatsMessage;
}

/** Reads the messages of a subject, page by page, and leaves them. */
export async function* readPages(
  client: NatsClient,
  stream: string,
  subject: string,
  { from = 1, batch = 100 }: {
    readonly from?: number;
    readonly batch?: number;
  } = {},
): AsyncIterable<readonly Stored[]> {
  for (let seq = from;;) {
    const found = await client.callMany(`DIRECT.GET.${stream}`, {
      seq,
      batch,
      next_by_subj: subject,
    });
    const page = found.map(storedOf);
    if (page.length > 0) yield page;
    const last = page.at(-1);
    const left = Number(found.at(-1)?.headers?.get("Nats-Num-Pending"));
    if (last === undefined || !(left > 0)) return;
    seq = last.sequence + 1;
  }
}

/** Removes a message where it lies; says whether it was there. */
export async function removeStored(
  client: NatsClient,
  stream: string,
  sequence: number,
): Promise<boolean> {
  try {
    // Asked again it would say that it was not there.
    await client.call(
      `STREAM.MSG.DELETE.${stream}`,
      { seq: sequence, no_erase: true },
      true,
    );
    return true;
  } catch (error) {
    if (
      isOf(error, CODES.messageNotFound, CODES.deleteFailed, CODES.noSequence)
    ) return false;
    throw error;
  }
}

function storedOf(message: NatsMessage): Stored {
  const header = (name: string) => message.headers?.get(name) ?? "";
  return {
    sequence: Number(header("Nats-Sequence")),
    subject: header("Nats-Subject"),
    at: Date.parse(header("Nats-Time-Stamp")),
    message,
  };
}
