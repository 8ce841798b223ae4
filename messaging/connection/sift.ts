import { NotFoundError } from "../../model/errors.ts";
import { isUnwritable } from "../../model/unwritable.ts";
import { type Message, ReceivedMessage } from "../consume/message.ts";
import type { OperationOptions } from "../operation_options.ts";
import type { QueueHandle } from "./queue_handle.ts";

/** So many messages are in hand at once, beside those that are held. */
export const AT_ONCE = 100;

/** About so many bytes of them; larger messages are taken one by one. */
const MAX_BYTES = 2 ** 24;

/** So many are taken first, for their size is not known yet, and four times as many each time after. */
const [FIRST, GROWTH] = [10, 4];

/** Which messages of a queue are meant, and the limits of each call. */
export interface SiftOptions extends OperationOptions {
  /** How errors call it: follows `Cannot `. */
  readonly action: string;
  /** Says whether the broker knows its queues: without that, one that is not there is an empty one. */
  readonly knowsQueues: () => boolean;
  /** The maximum number of those that are meant. @default {as many as there are when it begins} */
  readonly limit?: number | undefined;
  /** The maximum number in hand at once. @default {100} */
  readonly atOnce?: number | undefined;
  /** Says which are meant. @default {all} */
  readonly filter?: ((message: Message<unknown>) => boolean) | undefined;
  /** Called with their number so far, when some are settled, or could not be. */
  readonly onProgress?: ((soFar: Sifted) => void) | undefined;
}

/** The number of messages, by what became of them. */
export interface Sifted {
  /** Settled. */
  readonly done: number;
  /** Meant, and left in the queue. */
  readonly kept: number;
  /** Not meant, and left in the queue. */
  readonly skipped: number;
}

/**
 * Takes the ready messages of a queue, some at once, and has each that is meant settled. The
 * others stay unsettled: they go back to their places, all together, when the caller closes
 * the handle.
 *
 * @param queue The queue, for this alone.
 * @param options Which, how many, and the limits of each call. When its signal aborts, nothing more is begun with, and what is under way is waited for.
 * @param settle Settles one, and says so; `false` if it is to stay.
 * @returns Their number, by what became of them.
 * @throws {NotFoundError} If there is no such queue, and the broker knows.
 * @throws What `settle` and the filter throw, and the signal's reason, when what is under way is settled; where one cannot be written elsewhere, when all others are settled.
 */
export async function sift(
  queue: QueueHandle,
  {
    action,
    knowsQueues,
    limit = Infinity,
    atOnce = AT_ONCE,
    filter,
    onProgress,
    ...call
  }: SiftOptions,
  settle: (message: Message<unknown>) => Promise<boolean>,
): Promise<Sifted> {
  const { messageCount: count } = await queue.status(call).catch((error) => {
    if (!(error instanceof NotFoundError)) throw error;
    if (knowsQueues()) throw notThere(action, queue, error);
    return { messageCount: 0 };
  });
  const most = Math.min(limit, count);
  let [done, kept, skipped, largest, some] = [0, 0, 0, 1, FIRST];
  let unwritable: Error | undefined;
  while (done + kept < most && done + kept + skipped < count) {
    const max = Math.min(
      most - done - kept,
      count - done - kept - skipped,
      atOnce,
      some,
      Math.max(1, Math.floor(MAX_BYTES / largest)),
    );
    const taken = await queue.receive({ ...call, max });
    if (taken.length === 0) break;
    some *= GROWTH;
    largest = Math.max(largest, ...taken.map(sizeOf));
    const meant = taken.map((message) => filter?.(message) !== false);
    const results = await Promise.allSettled(
      taken.map(async (message, i) => meant[i] && await settle(message)),
    );
    taken.forEach((_, i) => {
      const result = results[i];
      if (!meant[i]) skipped++;
      else if (result?.status === "fulfilled" && result.value) done++;
      else kept++;
    });
    onProgress?.({ done, kept, skipped });
    for (const result of results) {
      if (result.status === "fulfilled") continue;
      if (!isUnwritable(result.reason)) throw result.reason;
      unwritable ??= result.reason;
    }
  }
  if (unwritable !== undefined) throw unwritable;
  return { done, kept, skipped };
}

function sizeOf(message: Message<unknown>): number {
  return message instanceof ReceivedMessage ? message.size : 0;
}

/** Whoever wants to empty a queue is not helped by declaring it. */
function notThere(
  action: string,
  { name }: QueueHandle,
  cause: NotFoundError,
): NotFoundError {
  return new NotFoundError(
    `Cannot ${action} the messages of queue "${name}": there is no such queue`,
    { cause, replyCode: cause.replyCode },
  );
}
