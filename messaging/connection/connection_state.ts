import type { BindingDestination } from "../../model/binding.ts";
import type { DeadLettered, Dropped } from "../../transports/transport.ts";
import type { Entity } from "./declarations.ts";
import type { Aftermath } from "../consume/run_options.ts";

/** The state of a connection. URLs are without passwords. */
export type ConnectionState =
  /** Nothing: it connects with the first operation. */
  | { readonly type: "idle" }
  | {
    readonly type: "connecting";
    /** The URL that is being tried. */
    readonly url: string;
    /** How many attempts in a row failed before. */
    readonly attempt: number;
  }
  | {
    readonly type: "open";
    /** The URL that it is connected to. */
    readonly url: string;
    /** Since when. */
    readonly since: Date;
  }
  | {
    readonly type: "waiting";
    /** How many attempts in a row have failed. */
    readonly attempt: number;
    /** Milliseconds until the next. */
    readonly delay: number;
    /** Why the last one failed. */
    readonly error: Error;
  }
  /** Closed, for good. */
  | { readonly type: "closed" };

/** An event of a connection. */
export type ConnectionEvent =
  /** Its state is another. */
  | { readonly type: "state"; readonly state: ConnectionState }
  /** It was open, and is not any more. */
  | { readonly type: "lost"; readonly error: Error }
  /**
   * While somebody consumed, this process did nothing else for longer than a heartbeat: no
   * sign of life left it, and no lease was renewed. Messages that it has may be delivered
   * again.
   */
  | {
    readonly type: "event-loop-blocked";
    /** Milliseconds, at least. */
    readonly duration: number;
  }
  /** The broker takes no messages for the time being. */
  | { readonly type: "blocked"; readonly reason: string }
  /** The broker takes messages again. */
  | { readonly type: "unblocked" }
  /**
   * A message that could not be read, or not be written again for a retry or as a dead
   * letter, is in quarantine on the broker, as it is; `connection.quarantine()` has it.
   */
  | {
    readonly type: "quarantined";
    readonly queue: string;
    readonly messageId: string | undefined;
    readonly error: Error;
    /** How many this connection has put there, this one included. */
    readonly count: number;
  }
  /** A message that its handler failed for is in its queue's dead letters, or in `<queue>.failed`. */
  | {
    readonly type: "parked";
    /** The queue that it came from. */
    readonly queue: string;
    /** The queue that it is in now, or the exchange of the dead letters. */
    readonly to: BindingDestination;
    readonly messageId: string | undefined;
    /** The error that its handler threw last, or the reason why it cannot be read. */
    readonly error: Error;
    /** How often its handler was called for it; 0 if it was refused before. */
    readonly attempts: number;
  }
  /** A message that its handler failed for was rejected, as `onFailure: "reject"` says. */
  | {
    readonly type: "rejected";
    /** The queue that it came from. */
    readonly queue: string;
    readonly messageId: string | undefined;
    /** The error that its handler threw last, or the reason why it cannot be read. */
    readonly error: Error;
  }
  | DeadLettered
  | Dropped
  /** A queue, exchange or binding could not be declared again on a new connection. */
  | {
    readonly type: "declare-failed";
    readonly entity: Entity;
    readonly error: Error;
  }
  /** A consumer that has worked cannot consume from a queue now; it tries again after `delay` ms. */
  | {
    readonly type: "consume-failed";
    /** The queue's name; empty if it has none yet, or where it is the channel of all. */
    readonly queue: string;
    readonly delay: number;
    readonly error: Error;
  }
  /**
   * A consumer has no channel: all that were agreed on with the broker are in use. It
   * tries again after `delay` ms, and takes one that is free then.
   */
  | {
    readonly type: "channels-exhausted";
    /** The queue's name; empty if it has none yet, or where it is the channel of all. */
    readonly queue: string;
    readonly delay: number;
    readonly error: Error;
  }
  /** A consumer was paused by its user. */
  | {
    readonly type: "consumer-paused";
    /** The queues of the consumer. */
    readonly queues: readonly string[];
  }
  /** A consumer that was paused goes on. */
  | {
    readonly type: "consumer-resumed";
    /** The queues of the consumer. */
    readonly queues: readonly string[];
  }
  /** The circuit breaker of a run has opened, for the first time or after a trial: its consumer takes nothing for a while. */
  | {
    readonly type: "breaker-opened";
    /** The queues of the consumer. */
    readonly queues: readonly string[];
    /** When one message is on trial. */
    readonly until: Date;
    /** The last failure of the handler. */
    readonly error: Error;
  }
  /** The circuit breaker of a run is closed again: the handler has returned for the message on trial. */
  | {
    readonly type: "breaker-closed";
    /** The queues of the consumer. */
    readonly queues: readonly string[];
  }
  /** `close()` has waited for a second for handlers, or for the body of a loop, that are still at work. */
  | {
    readonly type: "close-waits";
    /** The queues of the consumer. */
    readonly queues: readonly string[];
    /** How many are at work. */
    readonly handlers: number;
    /** Milliseconds that it waits at most from now. */
    readonly timeLeft: number;
  }
  /**
   * A message to an exchange reached no queue, where the broker tells (RabbitMQ does not).
   * Not told where `mandatory` was given: `false` says that it may be so.
   */
  | {
    readonly type: "unroutable";
    readonly exchange: string;
    readonly routingKey: string;
    readonly messageId: string | undefined;
  }
  /** A message of an outbox could not be published, or its database not be asked; it is tried again after `delay` ms. */
  | {
    readonly type: "outbox-failed";
    /** The outbox's name. */
    readonly outbox: string;
    readonly messageId: string | undefined;
    readonly delay: number;
    readonly error: Error;
  }
  /** A tick of a schedule that this process holds could not be published; it is tried again after `delay` ms. */
  | {
    readonly type: "schedule-failed";
    /** The schedule's name. */
    readonly name: string;
    /** The moment up to which its ticks are published. */
    readonly last: Date;
    readonly delay: number;
    readonly error: Error;
  }
  /** A schedule that was given here does not hold: there is another of its name, of a higher version or given later, or it was removed. */
  | {
    readonly type: "schedule-superseded";
    /** The schedule's name. */
    readonly name: string;
    /** The version that was given here. */
    readonly version: number;
    /** The version that holds. */
    readonly by: number;
    /** Whether that says that it was removed. */
    readonly removed: boolean;
  }
  /** The inbox of a run knew a message as handled: it was acked, and its handler was not called. */
  | {
    readonly type: "duplicate";
    readonly queue: string;
    readonly messageId: string | undefined;
    /** As the inbox knows it: the queue, a space, and the message id or the key. */
    readonly key: string;
  }
  /** A middleware threw where nothing can become of it any more: the message is settled, or an event was told. */
  | {
    readonly type: "middleware-failed";
    /** The hook that threw. */
    readonly hook: "settle" | "event" | "receivedNothing";
    readonly queue: string | undefined;
    readonly messageId: string | undefined;
    readonly error: Error;
  }
  /** A handler of `consumer.run` threw, or its message could not be settled. */
  | {
    readonly type: "handler-failed";
    readonly queue: string;
    readonly messageId: string | undefined;
    readonly error: Error;
    /** Which call it was, from 1. */
    readonly attempt: number;
    /** The fate of the message; `undefined` if its handler has settled it, or its settlement is tried again. */
    readonly next: Aftermath | undefined;
  };
