import type { BindingDestination } from "../model/binding.ts";

/** An event that a transport reports unasked. */
export type TransportEvent =
  /** The broker takes no messages for now: as RabbitMQ by `connection.blocked`, and Redis by `MISCONF` or `BUSY`. */
  | { readonly type: "blocked"; readonly reason: string }
  /** And no longer. */
  | { readonly type: "unblocked" }
  /** A message that could not be read, or not be written again, was put into quarantine on the broker. */
  | {
    readonly type: "quarantined";
    /** The queue that it came from. */
    readonly queue: string;
    /** Its id, where it has one that can be read. */
    readonly messageId: string | undefined;
    /** Why. */
    readonly error: Error;
    /** How many this connection has put there, this one included. */
    readonly count: number;
  }
  | DeadLettered
  | Dropped;

/**
 * A message is where its queue dead-letters it. It is told where the library does that;
 * RabbitMQ does it itself, and tells nobody.
 */
export interface DeadLettered {
  /** Which event it is. */
  readonly type: "dead-lettered";
  /** The queue that it came from. */
  readonly queue: string;
  /** Its id, where it has one that can be read. */
  readonly messageId: string | undefined;
  /** Why: `rejected`, `expired` or `maxlen`. */
  readonly reason: string;
  /** The exchange, or the queue; `undefined` where it is left to a rule of the broker's own, as SQS's redrive policy. */
  readonly to: BindingDestination | undefined;
}

/** A message is gone. */
export interface Dropped {
  /** Which event it is. */
  readonly type: "dropped";
  /** The queue that it came from. */
  readonly queue: string;
  /** Its id, where it has one that can be read. */
  readonly messageId: string | undefined;
  /** Why. */
  readonly error: Error;
}
