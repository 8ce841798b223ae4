import type { Capability } from "../../transports/transport.ts";
import type { ConnectionInfo } from "../connection/connection_info.ts";
import type {
  ConnectionEvent,
  ConnectionState,
} from "../connection/connection_state.ts";
import type { QueueStatus } from "../../model/queue.ts";
import type { OperationOptions } from "../operation_options.ts";
import type { Message } from "../consume/message_type.ts";
import type {
  IncomingChanges,
  IncomingMessage,
  NothingReceived,
  OutgoingChanges,
  OutgoingMessage,
  Settlement,
} from "./hooks.ts";

/** The connection that a middleware is used on, as far as one may look at it. */
export interface MiddlewareHost {
  /** The state of the connection. */
  readonly state: ConnectionState;
  /** The capabilities of the broker; empty until it has been connected once. */
  readonly capabilities: ReadonlySet<Capability>;
  /** The address that it has now, with all defaults filled in; no password. */
  info(): ConnectionInfo;
  /** The URL of a queue, as {@linkcode Connection.queueUrl} tells it. */
  queueUrl(queue: string): string | undefined;
  /** Counts the ready messages and the consumers of a queue, as {@linkcode Connection.queueStatus} does. */
  queueStatus(
    queue: string,
    options?: OperationOptions,
  ): Promise<QueueStatus>;
}

/**
 * Sees messages on their way, and may change or refuse them: {@linkcode Connection.use}. Each
 * hook is optional. Of several middlewares the one that was used first is the outermost: its
 * `publish` sees a message first, its `receive` last.
 *
 * No hook sees what the library writes for itself: retries and dead letters keep their body
 * and their headers as they came, and what goes by a `channel()` of one's own is one's own.
 *
 * @example A header for each message, and a look at each handler's time
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://middleware");
 * const times: number[] = [];
 * connection.use({
 *   publish: (message, next) =>
 *     next({ headers: { ...message.headers, tenant: "acme" } }),
 *   async process(message, next) {
 *     const began = performance.now();
 *     try {
 *       await next();
 *     } finally {
 *       times.push(performance.now() - began);
 *     }
 *   },
 * });
 *
 * const orders = new Queue("orders");
 * await connection.send(orders, { id: 1 });
 * const consumer = connection.consumer(orders);
 * await consumer.run(({ headers }) => {
 *   assertEquals(headers["tenant"], "acme");
 *   void consumer.cancel();
 * });
 * assertEquals(times.length, 1);
 * ```
 */
export interface Middleware {
  /**
   * Sees each publish of a user, requests, answers, redriven dead letters, the ticks of
   * schedules, and what is written in an outbox or relayed from one: once, however often a lost connection has it repeated. `next()` publishes it,
   * changed or as it is, and settles when the broker has answered; an error is the caller's.
   * Where it is not called the message is not published, and the call resolves; a request
   * rejects. The order of a producer's messages stays.
   */
  publish?(
    message: OutgoingMessage,
    next: (changes?: OutgoingChanges) => Promise<void>,
  ): Promise<void>;
  /**
   * Sees each message before it is handed over, by whichever way, and returns what is to be
   * handed over instead. A `DecodeError` is as of a payload that cannot be read: the message
   * is parked, or `onInvalid` is asked. Another error is a failure of the handler, which is
   * tried again; in a `for await`, too. Of what was got by `get`, or peeked at, reading the payload throws it.
   */
  receive?(
    message: IncomingMessage,
  ): IncomingChanges | void | Promise<IncomingChanges | void>;
  /**
   * Hears of each call of `get` or `receive`, and of a simple queue's, that has ended without
   * a message: for there was none, or with an error. An error that it throws changes nothing.
   */
  receivedNothing?(call: NothingReceived): void;
  /**
   * Sees each call of a handler, of `run`, `route` and `serve`, for a message whose payload
   * is right: `next()` calls it, at once. Errors are failures of the handler. Where it is not
   * called, the message is done.
   */
  process?(
    message: Message<unknown>,
    next: () => void | Promise<void>,
  ): void | Promise<void>;
  /** As `process`, for a batch of `runBatches`. @default {`process` for each message of it, one in another} */
  processBatch?(
    messages: readonly Message<unknown>[],
    next: () => void | Promise<void>,
  ): void | Promise<void>;
  /**
   * Sees each settlement of a message that was handed over, but of those that count as acked
   * by that, with `autoAck`. `next()` sends it to the broker, and settles when that has
   * answered. Where it is not called the settlement fails, and the message stays unsettled;
   * so it is where it is not called in the time that the settlement has.
   * An error that is thrown later undoes nothing: the event `middleware-failed` tells of it.
   */
  settle?(settlement: Settlement, next: () => Promise<void>): Promise<void>;
  /** Hears each event of the connection at once. It counts as nobody who reads them: see `onUnhandled`. */
  event?(event: ConnectionEvent): void;
}

/** A middleware, or what makes one for each connection that uses it: those of a pool, and clones. */
export type MiddlewareInput =
  | Middleware
  | ((connection: MiddlewareHost) => Middleware);
