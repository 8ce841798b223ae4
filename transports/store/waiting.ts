import type { Clock } from "../../async/clock.ts";
import type { Notifier } from "../../async/notifier.ts";
import type { Reserved, ReserveOptions, ReserveWant } from "./store.ts";

/** The calls that {@linkcode untilReserved} makes. */
export interface Looking<R extends Reserved> {
  /** Takes messages, without waiting for any; throws if the call is called off. */
  take(isFirst: boolean): Promise<R>;
  /** Milliseconds until something may be there of which nobody notifies. */
  pause(reserved: R): number;
}

/**
 * Takes messages, and waits for the first: it looks again when it is notified of one of the
 * queues, and when a pause is over. It is how a store waits whose broker does not.
 *
 * @typeParam R What a look brings.
 * @param notifier Notifies of queues.
 * @param clock The time.
 * @param wants The queues.
 * @param options How long to wait, and the signal that ends it.
 * @param looking How to look.
 * @returns What the last look brought; without messages if the time is over.
 * @throws The reason of the signal.
 */
export async function untilReserved<R extends Reserved>(
  notifier: Notifier,
  clock: Clock,
  wants: readonly ReserveWant[],
  { wait, signal }: ReserveOptions,
  looking: Looking<R>,
): Promise<R> {
  const listener = notifier.enter(wants.map(({ queue }) => queue));
  const until = clock.now() + wait;
  try {
    for (let isFirst = true;; isFirst = false) {
      listener.isNotified = false;
      const reserved = await looking.take(isFirst);
      const { reservations, missing, failed } = reserved;
      const left = until - clock.now();
      if (
        left <= 0 || reservations.length > 0 || missing.length > 0 ||
        (failed !== undefined && failed.size > 0)
      ) return reserved;
      const time = Math.min(left, looking.pause(reserved));
      await notifier.sleep(listener, time, signal);
    }
  } finally {
    notifier.leave(listener);
  }
}
