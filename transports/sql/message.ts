import { DecodeError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { Publishing } from "../../model/message.ts";
import {
  ENVELOPE_HEAD,
  EnvelopeWriter,
  readEnvelope,
} from "../store/envelope.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { Place, Row } from "./port.ts";

/** Writes all of a message but its body: an envelope as other brokers have it, whose body is empty. */
export class HeadWriter {
  readonly #writer = new EnvelopeWriter();

  /**
   * Writes the head of a message.
   *
   * @throws {EncodeError} If a header cannot be written as JSON.
   */
  write(message: Publishing): string {
    return ENVELOPE_HEAD + this.#writer.writeTail(message, "");
  }

  /** Writes the head of a message that was read, with other headers. */
  rewrite(message: Publishing, headers: FieldTable): string {
    const properties = { ...message.properties, headers };
    return this.write({ ...message, properties, republished: true });
  }
}

/** Reads the message of a row. */
export function messageOf({ head, body }: Row): Publishing | Malformed {
  const bytes = body instanceof Uint8Array ? body : new Uint8Array();
  try {
    const { message } = readEnvelope(String(head));
    return { ...message, body: bytes };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { error, body: bytes };
  }
}

/** Reads the place of a row. */
export function placeOf({ queue, rank, id }: Row): Place {
  return { queue: Number(queue), rank: Number(rank), id: Number(id) };
}

/** A message that a connection holds. */
export class SqlReservation implements Reservation {
  readonly queue: string;
  readonly place: Place;
  readonly holder: number;
  readonly message: Publishing | Malformed;
  readonly deliveryCount: number;
  readonly expired: boolean;
  readonly keepsPlace: boolean;
  /** When its time to live is over, ms since 1970. */
  readonly expiresAt: number;
  /** Whether it is settled: what comes then is too late. */
  isOver = false;

  /** Made of a row that was taken. */
  constructor(
    queue: string,
    row: Row,
    holder: number,
    { expired, ordered }: {
      readonly expired: boolean;
      readonly ordered: boolean;
    },
  ) {
    this.queue = queue;
    this.place = placeOf(row);
    this.holder = holder;
    this.message = messageOf(row);
    this.deliveryCount = Number(row.deliveries);
    this.expired = expired;
    this.keepsPlace = ordered;
    const { expires_at: expiresAt } = row;
    this.expiresAt = typeof expiresAt === "number" ? expiresAt : Infinity;
  }

  get handle(): string {
    return String(this.place.id);
  }

  get takesHeaders(): boolean {
    return this.keepsPlace;
  }

  get redelivered(): boolean {
    return this.deliveryCount > 0;
  }
}
