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

/** A key that is held with its first message. */
export interface Lane {
  readonly queue: string;
  /** The id of its document. */
  readonly id: unknown;
}

/** A message that we hold. */
export class MongodbReservation implements Reservation {
  readonly queue: string;
  readonly id: unknown;
  readonly claim: string;
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  readonly deliveryCount: number;
  readonly expired: boolean;
  readonly timeLeft: number | undefined;
  /** The fields that it gets when it is visible again, without the mark of a redelivery. */
  readonly visible: Fields;
  /** The payload that tells Kombu so, if it does not yet. */
  readonly marked: string | undefined;
  /** Its key, which is held with it; in an ordered queue. */
  readonly lane: Lane | undefined;
  /** Whether its queue is ordered, though it may have no key. */
  isOrdered: boolean;
  /** How long it is ours for sure, ms since 1970 by the server. */
  leasedUntil: number;

  /** Reads a document that was claimed; `now` is the server's time. */
  constructor(
    document: Fields,
    now: number,
    leasedUntil: number,
    lane?: Lane,
  ) {
    const { message, redelivered } = readMessage(document);
    const deliveries = document.deliveries;
    this.queue = lane?.queue ?? visibleName(String(document.queue));
    this.id = document._id;
    this.claim = String(lane === undefined ? document.claim : document.holder);
    this.lane = lane;
    this.isOrdered = lane !== undefined;
    this.message = message;
    this.deliveryCount = typeof deliveries === "number" ? deliveries - 1 : 0;
    this.redelivered = redelivered || this.deliveryCount > 0;
    const deadAt = document.hidden_dead_at ?? document.dead_at;
    this.expired = isPast(deadAt, now);
    // One that goes nowhere ends by another field.
    const end = deadAt ?? document.hidden_expire_at ?? document.expire_at;
    this.timeLeft = end instanceof Date ? end.getTime() - now : undefined;
    this.visible = lane === undefined
      ? visibleFields(document, message)
      : placedFields(document);
    this.marked = markedPayload(document, message, redelivered);
    this.leasedUntil = leasedUntil;
  }

  get handle(): string {
    return `${this.leaseId} ${this.claim}`;
  }

  /** The document whose lease is the message's. */
  get leaseId(): unknown {
    return this.lane === undefined ? this.id : this.lane.id;
  }

  /** The filter for its document, as long as it is ours. */
  get filter(): Fields {
    const { id: _id, claim } = this;
    return this.lane === undefined ? { _id, claim } : { _id, holder: claim };
  }

  get keepsPlace(): boolean {
    return this.isOrdered;
  }

  get takesHeaders(): boolean {
    return this.isOrdered;
  }
}

/**
 * Makes the statement that puts a message back to where it was.
 *
 * @param unseen Whether it was not delivered after all.
 * @returns The statement; it matches nothing if the message is no longer ours.
 */
export function releaseStatement(
  held: MongodbReservation,
  unseen: boolean,
): UpdateStatement {
  return {
    filter: held.filter,
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

/** A message of a key is the first of it again. */
export function placedFields(
  { place, hidden_expire_at, hidden_dead_at }: Fields,
): Fields {
  return {
    priority: place,
    ...(hidden_expire_at === undefined ? {} : { expire_at: hidden_expire_at }),
    ...(hidden_dead_at === undefined ? {} : { dies_at: hidden_dead_at }),
  };
}

/** Makes filters for those of these messages that are still ours, or for what has their leases: one for each claim. */
export function filtersOf(
  reservations: readonly MongodbReservation[],
  what: "messages" | "leases" = "messages",
): readonly Fields[] {
  const byClaim = new Map<string, unknown[]>();
  let held: Map<string, unknown[]> | undefined;
  for (const each of reservations) {
    const { claim, lane } = each;
    const id = what === "messages" ? each.id : each.leaseId;
    const byHolder = lane === undefined ? byClaim : held ??= new Map();
    const ids = byHolder.get(claim);
    if (ids === undefined) byHolder.set(claim, [id]);
    else ids.push(id);
  }
  const filters: Fields[] = [...byClaim].map(([claim, ids]) => ({
    claim,
    _id: { $in: ids },
  }));
  if (held !== undefined) {
    for (const [holder, ids] of held) {
      filters.push({ holder, _id: { $in: ids } });
    }
  }
  return filters;
}
