import type { Publishing } from "../../model/message.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { Context } from "./context.ts";
import { decode, type RedisReply } from "./reply.ts";
import { readStored, type Stored } from "./stored.ts";

/**
 * The place of a reserved message: under a field in the hash of unacked messages; in
 * quarantine, for it is no message; or only in this process, for it came by PUB/SUB.
 */
export type Whereabouts =
  | {
    readonly type: "unacked";
    readonly field: string;
    /** Which queue of its name it was taken of; empty where the tables do not say. */
    readonly lineage: string;
  }
  | { readonly type: "aside" }
  | { readonly type: "here" };

/** A key as the scripts name it, byte for byte; "" is none. */
export type Key = Uint8Array | "";

/** Reads the key of a message that a script took. */
export function keyIn(reply: RedisReply | undefined): Key {
  return reply instanceof Uint8Array && reply.length > 0 ? reply : "";
}

/** A message that was taken from Redis. */
export class RedisReservation implements Reservation {
  readonly queue: string;
  readonly where: Whereabouts;
  /** As it lay in the list. */
  readonly bytes: Uint8Array;
  /** Whether the queue was declared when it was taken: if it is gone, the message does not come back. */
  readonly declared: boolean;
  readonly expired: boolean;
  /** Whether it will expire, or has. */
  readonly timed: boolean;
  /** Its key in an ordered queue, "" if it has none; `undefined` elsewhere. */
  readonly key: Key | undefined;
  readonly timeLeft: number | undefined;
  readonly #stored: Stored;

  /** Reads an entry that was taken; `now` is the server's clock, ms. */
  constructor(
    taken: {
      readonly queue: string;
      readonly where: Whereabouts;
      readonly bytes: Uint8Array;
      readonly declared: boolean;
      readonly key?: Key | undefined;
    },
    now: number,
  ) {
    this.queue = taken.queue;
    this.where = taken.where;
    this.bytes = taken.bytes;
    this.declared = taken.declared;
    this.key = taken.key;
    this.#stored = readStored(taken.bytes);
    this.timed = this.#stored.expiresAt < Infinity;
    this.expired = this.#stored.expiresAt <= now;
    this.timeLeft = this.timed ? this.#stored.expiresAt - now : undefined;
  }

  get handle(): string {
    return this.where.type === "unacked" ? this.where.field : this.where.type;
  }

  /** Which queue it was taken of, as the scripts read it that put a message back. */
  get lineage(): string {
    const lineage = this.where.type === "unacked" ? this.where.lineage : "";
    return lineage === "" && this.declared ? "1" : lineage;
  }

  get keepsPlace(): boolean {
    return this.key !== undefined;
  }

  get takesHeaders(): boolean {
    return this.key !== undefined;
  }

  get message(): Publishing | Malformed {
    return this.#stored.message;
  }

  get redelivered(): boolean {
    return this.#stored.redelivered;
  }

  get deliveryCount(): number | undefined {
    return this.#stored.deliveryCount;
  }

  /** When its time to live ends, on the server's clock; `undefined` is never. */
  get expiresAt(): number | undefined {
    return this.timed ? this.#stored.expiresAt : undefined;
  }
}

/**
 * Reads an entry that was taken of a queue.
 *
 * @param number Its number, less than nothing if it is in quarantine.
 * @returns It, held; `undefined` if there is none.
 */
export function readTaken(
  { fields, mirror }: Context,
  { queue, lineage }: { readonly queue: string; readonly lineage: string },
  number: RedisReply | undefined,
  bytes: RedisReply | undefined,
  now: number,
  key?: Key,
): RedisReservation | undefined {
  if (!(bytes instanceof Uint8Array)) return undefined;
  const isAside = Number(number) < 0;
  return new RedisReservation({
    queue,
    where: isAside
      ? { type: "aside" }
      : { type: "unacked", field: `${fields}${lineage}${number}`, lineage },
    bytes,
    declared: mirror.isDeclared(queue),
    key: isAside ? undefined : key,
  }, now);
}

/**
 * Reads what a script took beside what it was asked for: for each its queue, its number, it,
 * and which queue of its name that is.
 *
 * @param now The server's time; 0 where none of them is to count as expired.
 */
export function readAllTaken(
  context: Context,
  reply: readonly RedisReply[],
  now: number,
): RedisReservation[] {
  const all: RedisReservation[] = [];
  for (let i = 0; i < reply.length; i += 4) {
    const [queue, number, bytes, lineage] = reply.slice(i, i + 4);
    const from = { queue: decode(queue), lineage: decode(lineage) };
    const taken = readTaken(context, from, number, bytes, now);
    if (taken !== undefined) all.push(taken);
  }
  return all;
}
