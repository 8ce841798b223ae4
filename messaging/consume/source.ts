import type { Delivery } from "../../model/message.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { Channel } from "../../transports/transport.ts";
import type { KnownOptions } from "../known_options.ts";
import type { Call, OperationOptions } from "../operation_options.ts";

/** The channel that messages were delivered on, for as long as it lasts. */
export interface Source {
  readonly channel: Channel;
  /** Whether it still is: a message of a lost one cannot be settled. */
  readonly alive: boolean;
  /** Why it no longer is. */
  readonly error?: Error | undefined;
  readonly consumerTag: string | undefined;
  readonly noAck: boolean;
  /** How its queue was declared, as far as it is known here. */
  readonly declared?: QueueDeclaration | undefined;
  /** Whether a message that is written again loses its place among those of its key. */
  readonly ordered?: boolean | undefined;
  /** Called when a message is settled, and the channel knows; `settling` ends when the broker has answered. */
  onSettled(delivery: Delivery, settling: Promise<void> | undefined): void;
  /** Called when that failed: the message is unsettled again. */
  onKept(): void;
  /** Calls back when this delivery is no longer ours. */
  onLost(delivery: Delivery, callback: (reason: Error) => void): void;
  /** Calls back when one of its messages is settled, or all are lost. */
  watchSettled?(callback: () => void): void;
  /** Waits, before its channel closes, until a settlement is on its way by it. */
  hold?(passing: Promise<void>): void;
  /** Waits for a middleware no longer than a call's limits allow; without it as long as it takes. */
  wait?<T>(
    promise: Promise<T>,
    call: Call,
    late: () => Error,
  ): Promise<T>;
  limits(options: OperationOptions | undefined, known?: KnownOptions): Call;
}
