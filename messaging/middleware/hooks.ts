import type { FieldTable } from "../../model/field_table.ts";
import type { MessageProperties, Publishing } from "../../model/message.ts";
import type { Message } from "../consume/message_type.ts";

/** The call that publishes a message: a user's, the library's for a user, or the clock's. */
export type PublishOrigin =
  | "publish"
  | "request"
  | "reply"
  | "redrive"
  | "schedule"
  | "outbox"
  | "relay";

/** A message's properties, but for its headers. */
export type PlainProperties = Omit<MessageProperties, "headers">;

/** A message on its way to the broker, encoded. */
export interface OutgoingMessage {
  /**
   * The call: `publish` and `send`, a request, the answer to one, a dead letter that is
   * redriven, as it came, the tick of a schedule, a message that is written in an outbox, or
   * one that is relayed from there, as it was written.
   */
  readonly origin: PublishOrigin;
  /** The exchange's name; `""` is the default exchange. */
  readonly exchange: string;
  /** The key that the exchange routes by. */
  readonly routingKey: string;
  /** Milliseconds until it may be delivered; 0 is now. */
  readonly delay: number;
  /** Its properties, but for the headers. Of a request those that go with its answer are filled in later. */
  readonly properties: PlainProperties;
  /** Its headers; an empty table where it has none. */
  readonly headers: FieldTable;
  /** Its body, compressed if the header `compression` says so. Do not write to it. */
  readonly body: Uint8Array;
  /** The request that it answers. */
  readonly request?: Message<unknown> | undefined;
}

/** The parts of a message that a middleware replaces: each whole. */
export type OutgoingChanges = Partial<
  Pick<
    OutgoingMessage,
    "exchange" | "routingKey" | "properties" | "headers" | "body"
  >
>;

/** The way by which a message is handed over: to a handler, a `for await`, a `get` or a `peek`, or as the answer to a request. */
export type ReceivedVia = "run" | "iterate" | "get" | "peek" | "reply";

/** A message that is about to be handed over. */
export interface IncomingMessage {
  /** The way by which it is handed over. */
  readonly via: ReceivedVia;
  /** When somebody began to wait for it, by `performance.now()`; `undefined` for `run` and `peek`. */
  readonly began: number | undefined;
  /** The queue that it comes from. */
  readonly queue: string;
  /** The exchange that it was published to. */
  readonly exchange: string;
  /** The key that it was published with. */
  readonly routingKey: string;
  /** Whether it may have been delivered before. */
  readonly redelivered: boolean;
  /** Its properties, but for the headers. */
  readonly properties: PlainProperties;
  /** Its headers; an empty table where it has none. */
  readonly headers: FieldTable;
  /** Its body. */
  readonly body: Uint8Array;
  /** The message as its user gets it, the same object as elsewhere; `undefined` for the answer to a request. */
  readonly message: Message<unknown> | undefined;
}

/** A call of `get` or `receive` that has ended without a message. */
export interface NothingReceived {
  /** The queue. */
  readonly queue: string;
  /** When it was called, by `performance.now()`. */
  readonly began: number;
  /** Why it has failed; `undefined` where there was no message. */
  readonly error: Error | undefined;
}

/** The parts of a message that are handed over otherwise: each replaced whole. */
export type IncomingChanges = Partial<
  Pick<IncomingMessage, "properties" | "headers" | "body">
>;

/** The fate of a message, by its user or by the library. */
export interface Settlement {
  /**
   * Acked, rejected, or put back; written again for another attempt, as the policy `retry`
   * says; or parked.
   */
  readonly action: "ack" | "reject" | "requeue" | "retry" | "park";
  /** The message. */
  readonly message: Message<unknown>;
  /** Whether all that its consumer was delivered before is acked with it. */
  readonly multiple: boolean;
  /** Milliseconds until it may be delivered again; 0 is at once. */
  readonly delay: number;
  /** Why, where a handler has failed, or it could not be read: of `retry` and `park`. */
  readonly error: Error | undefined;
  /** The attempt that comes next, of `retry`. */
  readonly attempt: number | undefined;
}

/** Sees a publish; see {@linkcode Middleware.publish}. */
export type PublishHook = (
  message: OutgoingMessage,
  next: (changes?: OutgoingChanges) => Promise<void>,
) => Promise<void>;

/** Sees a message that is about to be handed over; see {@linkcode Middleware.receive}. */
export type ReceiveHook = (
  message: IncomingMessage,
) => IncomingChanges | void | Promise<IncomingChanges | void>;

/** Hears of a call that found nothing; see {@linkcode Middleware.receivedNothing}. */
export type NothingHook = (call: NothingReceived) => void;

/** Sees the call of a handler; see {@linkcode Middleware.process}. */
export type ProcessHook = (
  message: Message<unknown>,
  next: () => void | Promise<void>,
) => void | Promise<void>;

/** Sees the call of a handler of several messages; see {@linkcode Middleware.processBatch}. */
export type ProcessBatchHook = (
  messages: readonly Message<unknown>[],
  next: () => void | Promise<void>,
) => void | Promise<void>;

/** Sees a settlement; see {@linkcode Middleware.settle}. */
export type SettleHook = (
  settlement: Settlement,
  next: () => Promise<void>,
) => Promise<void>;

/** Hears how a call has ended that an {@linkcode Observer} has seen begin. Throws nothing. */
export interface Watch {
  /** It has ended well. */
  ended(): void;
  /** It has failed with an error, which is the caller's. */
  failed(error: unknown): void;
}

/** Hears how a publish has ended. */
export interface PublishWatch extends Watch {
  /** The headers to publish it with; the message's own where none was added. */
  readonly headers: FieldTable;
}

/** Hears how the call of a handler has ended, and calls it. */
export interface ProcessWatch extends Watch {
  /** Calls the handler at once; returns and throws what that does. */
  call<M>(
    handler: (message: M) => void | Promise<void>,
    message: M,
  ): void | Promise<void>;
}

/**
 * The part of a middleware that looks on: it sees calls begin and end, keeps none of them
 * and changes nothing but headers. Used alone on a connection it is told of the calls that
 * each message makes, and costs them no promise and no function; its hooks see the others,
 * and all of them where there are other middlewares. No method throws; one that
 * returns `undefined` wants to hear no more of a call.
 */
export interface Observer {
  /** A message is about to be published. */
  publish(
    origin: PublishOrigin,
    message: Publishing,
    request: Message<unknown> | undefined,
  ): PublishWatch | undefined;
  /** A handler of `run` is about to be called; `receive` is not told of the message. */
  process(message: Message<unknown>): ProcessWatch | undefined;
  /** A message is about to be settled. */
  settle(
    action: Settlement["action"],
    message: Message<unknown>,
  ): Watch | undefined;
}

/** All middlewares of a connection, each hook in one; `undefined` where none of them has it. */
export interface Hooks {
  /** Does all that the hooks do, and no more, for less; where it is the only middleware. */
  readonly observer: Observer | undefined;
  readonly publish:
    | ((
      message: OutgoingMessage,
      send: (message: OutgoingMessage) => Promise<void>,
    ) => Promise<void>)
    | undefined;
  readonly receive:
    | ((message: IncomingMessage) => IncomingMessage | Promise<IncomingMessage>)
    | undefined;
  readonly receivedNothing: NothingHook | undefined;
  readonly process: ProcessHook | undefined;
  readonly processBatch: ProcessBatchHook | undefined;
  readonly settle: SettleHook | undefined;
}

/** What consumers and messages see of a connection's middlewares. */
export interface InUse {
  /** The hooks; `undefined` without a middleware. */
  readonly hooks: Hooks | undefined;
  /** A middleware has failed where nothing can become of it any more. */
  failed(hook: "settle", error: Error, message: Message<unknown>): void;
}
