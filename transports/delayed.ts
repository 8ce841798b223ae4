import type { CallOptions } from "../model/call_options.ts";
import type { Publishing } from "../model/message.ts";

/** A message that was seen while it was delayed in a queue. */
export interface DelayedMessage {
  /** Milliseconds until it is due, more than 0. */
  readonly delay: number;
  /** The message, its own delay and its publisher's wish for a queue left out. */
  readonly message: Publishing;
  /**
   * Removes it from its queue: it is delivered to nobody.
   *
   * @returns Whether it was there: one that is due meanwhile may be delivered, or has been removed by somebody else.
   */
  remove(options?: CallOptions): Promise<boolean>;
}

/**
 * The part of a channel that is about messages which are delayed. A broker that finds them
 * by their ids lists them, too.
 */
export interface DelayedMessages {
  /**
   * Cancels a message that is delayed in a queue, or moves it; says whether there was one:
   * one that is due, or was delivered, is not delayed any more. Its time to live counts from
   * when it is due. Absent where the broker cannot find it by its message id.
   *
   * @param queue The queue.
   * @param messageId The message's id; of several the one that is found first.
   * @param delay Milliseconds from now until it is due; `undefined` cancels it.
   * @param options The limits of the call.
   */
  changeDelayed?(
    queue: string,
    messageId: string,
    delay: number | undefined,
    options?: CallOptions,
  ): Promise<boolean>;
  /**
   * Lists the messages that are delayed in a queue, page by page as they are asked for, and
   * leaves them there. One that cannot be read, or for which others of its key wait, is not
   * among them. Absent where the broker cannot show them; one that shows the first alone
   * lists it, and the next when that is removed.
   *
   * @param queue The queue.
   * @param options The limits of each page.
   */
  listDelayed?(
    queue: string,
    options?: CallOptions,
  ): AsyncIterable<readonly DelayedMessage[]>;
}
