import { UnsupportedError } from "../../model/errors.ts";
import type { Mark } from "../store/store.ts";
import { isFifo } from "./names.ts";

/** SQS's, ms: it knows a duplicate for so long, and for no other time. */
const WINDOW = 300_000;

/** The most characters of a deduplication id. */
const MAX_ID = 128;

/**
 * Says why SQS cannot know a message by a mark.
 *
 * @param queue The queue.
 * @param mark The mark.
 * @returns The error, or `undefined` if it can.
 */
export function refuseMark(
  queue: string,
  mark: Mark,
): UnsupportedError | undefined {
  const why = !isFifo(queue)
    ? 'it is no FIFO queue, whose name ends in ".fifo", and others lack the capability "dedupe"'
    : mark.window !== WINDOW
    ? `SQS knows duplicates for 5 minutes: give a window of ${WINDOW}, not of ${mark.window}`
    : deduplicationOf(mark).length > MAX_ID
    ? `SQS takes ${MAX_ID} characters for the id, and for the exchange and the routing key before it`
    : undefined;
  if (why === undefined) return undefined;
  return new UnsupportedError(
    `Cannot publish to queue "${queue}" with dedupe: ${why}`,
  );
}

/**
 * Makes SQS's deduplication id of a mark.
 *
 * @param mark The mark.
 * @returns The id: of the default exchange without the queue, for SQS tells queues apart itself.
 */
export function deduplicationOf({ key }: Mark): string {
  return key.startsWith("/") ? key.slice(key.lastIndexOf("/") + 1) : key;
}
