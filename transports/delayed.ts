import type { CallOptions } from "../model/call_options.ts";

/** The part of a channel that is about messages which are delayed. */
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
}
