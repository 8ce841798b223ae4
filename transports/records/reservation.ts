import { asError } from "../../model/error_text.ts";
import type { Publishing } from "../../model/message.ts";
import { DecodeError } from "../../model/errors.ts";
import { readEnvelope } from "../store/envelope.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { FullRow } from "./database.ts";
import type { Fields } from "./records.ts";

/** A message that this connection took: the record as it wrote it. */
export class RecordReservation implements Reservation {
  readonly queue: string;
  readonly row: FullRow;
  readonly expired: boolean;
  readonly timeLeft: number | undefined;
  readonly message: Publishing | Malformed;
  /** Whether a settlement failed half way: then the record may be gone by it. */
  isUncertain = false;

  /** Makes one of a record that had so many ms left to live. */
  constructor(queue: string, row: FullRow, timeLeft: number) {
    this.queue = queue;
    this.row = row;
    this.expired = timeLeft <= 0;
    this.timeLeft = timeLeft === Infinity ? undefined : timeLeft;
    this.message = messageOf(row);
  }

  get handle(): string {
    return this.row.id;
  }

  get redelivered(): boolean {
    return this.deliveryCount > 0;
  }

  get deliveryCount(): number {
    return deliveriesOf(this.row.fields);
  }
}

/** The fields of a message that lies in its queue again. */
export function releasedFields({ holder: _, ...rest }: Fields): Fields {
  return { ...rest, delivered: deliveriesOf(rest) + 1 };
}

/** Says how often a message was delivered before. */
export function deliveriesOf({ delivered }: Fields): number {
  return typeof delivered === "number" ? delivered : 0;
}

/**
 * Reads a message's record.
 *
 * @param row The record.
 * @returns The message, or why it is none.
 */
export function messageOf({ id, fields }: FullRow): Publishing | Malformed {
  const { envelope, holder: _, delivered: __, ...rest } = fields;
  try {
    if (typeof envelope !== "string") {
      throw new DecodeError(
        `Cannot read the record "${id}": it has no envelope, and so is no message`,
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
