import type { Publishing } from "../../model/message.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import {
  HIDDEN_FIELDS,
  isPast,
  markedPayload,
  readMessage,
  visibleFields,
  visibleName,
} from "./documents.ts";
import type { Fields, UpdateStatement } from "./port.ts";

/** A message that we hold. */
export class MongodbReservation implements Reservation {
  readonly queue: string;
  readonly id: unknown;
  readonly claim: string;
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  readonly deliveryCount: number;
  readonly expired: boolean;
  /** The fields that it gets when it is visible again, without the mark of a redelivery. */
  readonly visible: Fields;
  /** The payload that tells Kombu so, if it does not yet. */
  readonly marked: string | undefined;
  /** How long it is ours for sure, ms since 1970 by the server. */
  leasedUntil: number;

  /** Reads a document that was claimed; `now` is the server's time. */
  constructor(document: Fields, now: number, leasedUntil: number) {
    const { message, redelivered } = readMessage(document);
    const deliveries = document.deliveries;
    this.queue = visibleName(String(document.queue));
    this.id = document._id;
    this.claim = String(document.claim);
    this.message = message;
    this.deliveryCount = typeof deliveries === "number" ? deliveries - 1 : 0;
    this.redelivered = redelivered || this.deliveryCount > 0;
    this.expired = isPast(document.hidden_dead_at ?? document.dead_at, now);
    this.visible = visibleFields(document, message);
    this.marked = markedPayload(document, message, redelivered);
    this.leasedUntil = leasedUntil;
  }

  get handle(): string {
    return `${this.id} ${this.claim}`;
  }
}

/**
 * Makes the statement that puts a message back to where it was.
 *
 * @param held The message.
 * @param unseen Whether it was not delivered after all.
 * @returns The statement; it matches nothing if the message is no longer ours.
 */
export function releaseStatement(
  held: MongodbReservation,
  unseen: boolean,
): UpdateStatement {
  return {
    filter: { _id: held.id, claim: held.claim },
    update: {
      $set: {
        ...held.visible,
        ...(unseen
          ? { deliveries: held.deliveryCount }
          : held.marked === undefined
          ? {}
          : { payload: held.marked }),
      },
      $unset: HIDDEN_FIELDS,
    },
  };
}
