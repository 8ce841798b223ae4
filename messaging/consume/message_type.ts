import type { FieldTable } from "../../model/field_table.ts";
import type { MessageProperties } from "../../model/message.ts";
import type { Death } from "./deaths.ts";
import type { OperationOptions } from "../operation_options.ts";

/** Options of {@linkcode Message.ack}. */
export interface AckOptions extends OperationOptions {
  /** Settles every message of this consumer that was delivered before, too. @default {false} */
  readonly multiple?: boolean | undefined;
}

/** Options of {@linkcode Message.requeue}. */
export interface RequeueOptions extends OperationOptions {
  /** Milliseconds until it may be delivered again: it waits in the broker, which needs the capability `delay`. @default {0: at once, in its place as far as the broker keeps it} */
  readonly delay?: number | undefined;
}

/** The origin of a message. */
export interface DeliveryInfo {
  /** The exchange that it was published to. */
  readonly exchange: string;
  /** The key that it was published with. */
  readonly routingKey: string;
  /** The queue that it comes from. */
  readonly queue: string;
  /** The consumer that it was delivered to; `undefined` if it was got. */
  readonly consumerTag: string | undefined;
  /** Whether it may have been delivered before. */
  readonly redelivered: boolean;
}

/**
 * A message that was delivered. Settle it once: `ack`, `reject` or `requeue`.
 *
 * @typeParam T The type of `payload`.
 */
export interface Message<T> {
  /**
   * The payload, decompressed and decoded on first reading.
   *
   * @throws {DecodeError} If the body is not what its content type or its header `compression` says, or would become too large, or if its consumer's schema does not take it.
   * @throws {ContentDisallowedError} If its content type is not accepted.
   */
  readonly payload: T;
  /**
   * The body as it was delivered: compressed, if the header `compression` says so. Its
   * `buffer` may hold other messages too: copy what you transfer to a worker.
   */
  readonly body: Uint8Array;
  /** The application's own headers. */
  readonly headers: FieldTable;
  /** All properties. */
  readonly properties: MessageProperties;
  /** The key that it was published with: an ordered queue hands out those of one key one after another. */
  readonly key: string | undefined;
  /** The MIME type of the body. */
  readonly contentType: string | undefined;
  /** The origin of the message. */
  readonly deliveryInfo: DeliveryInfo;
  /** How often it was delivered before, where the broker counts. */
  readonly deliveryCount: number | undefined;
  /** Which attempt it is, from 1: those of `run` with `retry` count, in all processes. */
  readonly attempt: number;
  /** The queues in which it was dead-lettered before, and the reasons, the last time first. */
  readonly deaths: readonly Death[];
  /** Whether it was settled here. */
  readonly settled: boolean;
  /** Aborts when the message is no longer ours: its lease or its connection was lost, or, with a `ClosedError`, its consumer was closed. */
  readonly signal: AbortSignal;
  /**
   * Settles: done. A settlement that fails otherwise than by a `SettlementError` leaves
   * the message unsettled: settle it again. Nobody who does so, and it goes back to its
   * queue after half a minute, or as long as the broker's lease lasts. With a signal that
   * has aborted nothing is sent.
   *
   * @throws {SettlementError} If it was settled before, or is no longer ours; nothing reaches the broker.
   */
  ack(options?: AckOptions): Promise<void>;
  /**
   * Settles: to where its queue dead-letters, or away.
   *
   * @throws {SettlementError} As of `ack`.
   */
  reject(options?: OperationOptions): Promise<void>;
  /**
   * Settles: back to its queue, to be delivered again. With a `delay` it is written again
   * as it is, and the original acked when that is safe: until then it counts as
   * unsettled, and where that fails it is.
   *
   * @throws {SettlementError} As of `ack`.
   * @throws {UnsupportedError} If there is a `delay`, and the broker cannot wait so long, or the message lies in a stream.
   * @throws {EncodeError} If there is a `delay`, and what was delivered is no message, or cannot be written again.
   * @throws {RangeError} If `delay` is no number of 0 or more.
   */
  requeue(options?: RequeueOptions): Promise<void>;
}
