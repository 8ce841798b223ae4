import type { MessageProperties, Publishing } from "../../model/message.ts";
import type { Reservation } from "../store/store.ts";
import type { Item } from "./kept.ts";
import type { MemoryQueue } from "./queue.ts";

/** Reservations in the order in which they were made. */
export class Held {
  #first: MemoryReservation | undefined;
  #last: MemoryReservation | undefined;

  /** Adds one that is in none. */
  add(reservation: MemoryReservation): MemoryReservation {
    const last = this.#last;
    reservation.holder = this;
    reservation.before = last;
    if (last === undefined) this.#first = reservation;
    else last.after = reservation;
    return this.#last = reservation;
  }

  /** Says whether it was there. */
  remove(reservation: MemoryReservation): boolean {
    if (reservation.holder !== this) return false;
    const { before, after } = reservation;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    reservation.holder = reservation.before = reservation.after = undefined;
    return true;
  }

  /** All of them, the first first. */
  list(): MemoryReservation[] {
    const all: MemoryReservation[] = [];
    for (let each = this.#first; each !== undefined; each = each.after) {
      all.push(each);
    }
    return all;
  }
}

/** A message of a queue that somebody has. */
export class MemoryReservation implements Reservation {
  readonly from: MemoryQueue;
  readonly item: Item;
  readonly expired: boolean;
  /** As it was then: it is counted when the message goes back. */
  readonly deliveryCount: number;
  readonly timeLeft: number | undefined;
  holder: Held | undefined;
  before: MemoryReservation | undefined;
  after: MemoryReservation | undefined;
  #message: Publishing | undefined;

  /** Made of what was taken from a queue. */
  constructor(
    from: MemoryQueue,
    item: Item,
    expired: boolean,
    timeLeft: number | undefined,
  ) {
    this.from = from;
    this.item = item;
    this.expired = expired;
    this.timeLeft = timeLeft;
    this.deliveryCount = item.deliveryCount;
  }

  /** It may be in other queues, and is as it was when it comes back. */
  get sharesMessage(): boolean {
    return true;
  }

  get properties(): MessageProperties {
    return this.item.message.properties;
  }

  get keepsPlace(): boolean {
    return this.from.isOrdered;
  }

  get takesHeaders(): boolean {
    return this.from.isOrdered;
  }

  get queue(): string {
    return this.from.name;
  }

  get handle(): string {
    return String(this.item.sequence);
  }

  get message(): Publishing {
    return this.#message ??= this.item.message.publishing;
  }

  get redelivered(): boolean {
    return this.deliveryCount > 0;
  }
}
