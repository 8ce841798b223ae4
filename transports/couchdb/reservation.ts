import { asError } from "../../model/error_text.ts";
import type { Publishing } from "../../model/message.ts";
import { DecodeError } from "../../model/errors.ts";
import { readEnvelope } from "../store/envelope.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { Doc } from "./database.ts";
import type { Draft } from "./writes.ts";

/** A message that we took: the document as we wrote it. */
export class CouchdbReservation implements Reservation {
  readonly queue: string;
  readonly doc: Doc;
  readonly expired: boolean;
  readonly message: Publishing | Malformed;

  /** Makes one of a document. */
  constructor(queue: string, doc: Doc, expired: boolean) {
    this.queue = queue;
    this.doc = doc;
    this.expired = expired;
    this.message = messageOf(doc);
  }

  get handle(): string {
    return this.doc._id;
  }

  get redelivered(): boolean {
    return this.deliveryCount > 0;
  }

  get deliveryCount(): number {
    const { delivered } = this.doc;
    return typeof delivered === "number" ? delivered : 0;
  }
}

/** The document as it lies in the queue when it was put back. */
export function givenBack({ holder: _, ...doc }: Doc): Draft {
  const { delivered } = doc;
  return {
    ...doc,
    delivered: (typeof delivered === "number" ? delivered : 0) + 1,
  };
}

/**
 * Reads a message's document.
 *
 * @param doc The document.
 * @returns The message, or why it is none.
 */
export function messageOf(doc: Doc): Publishing | Malformed {
  const { envelope, _id, _rev, holder: _, delivered: __, ...rest } = doc;
  try {
    if (typeof envelope !== "string") {
      throw new DecodeError(
        `Cannot read the document "${_id}": it has no envelope, and so is no message`,
      );
    }
    return readEnvelope(envelope).message;
  } catch (cause) {
    const error = asError(cause);
    const raw = typeof envelope === "string"
      ? envelope
      : JSON.stringify({ envelope, ...rest });
    return { error, body: new TextEncoder().encode(raw) };
  }
}
