import type { Publishing } from "../../model/message.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { Topology } from "../../virtual/topology.ts";
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
  readonly #stored: Stored;

  /** Reads an entry that was taken; `now` is the server's clock, ms. */
  constructor(
    taken: {
      readonly queue: string;
      readonly where: Whereabouts;
      readonly bytes: Uint8Array;
      readonly declared: boolean;
    },
    now: number,
  ) {
    this.queue = taken.queue;
    this.where = taken.where;
    this.bytes = taken.bytes;
    this.declared = taken.declared;
    this.#stored = readStored(taken.bytes);
    this.timed = this.#stored.expiresAt < Infinity;
    this.expired = this.#stored.expiresAt <= now;
  }

  get handle(): string {
    return this.where.type === "unacked" ? this.where.field : this.where.type;
  }

  /** Which queue it was taken of, as the scripts read it that put a message back. */
  get lineage(): string {
    const lineage = this.where.type === "unacked" ? this.where.lineage : "";
    return lineage === "" && this.declared ? "1" : lineage;
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
}

/**
 * Reads what a length limit pushed out: for each its queue, its number, it, and which queue
 * of its name that is.
 *
 * @param reply The script's answer.
 * @param fields The prefix of this connection's fields.
 * @param topology The tables.
 * @returns The messages, held by this connection.
 */
export function displacedIn(
  reply: readonly RedisReply[],
  fields: string,
  topology: Topology,
): RedisReservation[] {
  const displaced: RedisReservation[] = [];
  for (let i = 0; i < reply.length; i += 4) {
    const queue = decode(reply[i]);
    const number = Number(reply[i + 1]);
    const bytes = reply[i + 2];
    const lineage = decode(reply[i + 3]);
    if (number < 0 || !(bytes instanceof Uint8Array)) continue;
    const field = `${fields}${lineage}${number}`;
    displaced.push(
      new RedisReservation({
        queue,
        where: { type: "unacked", field, lineage },
        bytes,
        declared: topology.queue(queue)?.foreign === false,
      }, 0),
    );
  }
  return displaced;
}
