import { MAX_SHORT_STRING } from "../model/checks.ts";
import type { QueueDeclaration } from "../model/queue.ts";

/** The suffix of the queue that keeps a queue's failed messages. */
const FAILED = ".failed";

/**
 * The queue in which the failed messages of all queues are parked that do not last: of
 * those that go with their connection or with their last consumer, or whose name the
 * broker chose. A queue for each of them would stay for ever, and nobody would know its
 * name; the header `x-death` says which one a message comes from.
 */
export const SHARED_FAILED_QUEUE = "dashi.failed";

/**
 * Names the queue in which messages of a queue are parked that failed for good, where it
 * dead-letters nowhere: `orders.failed` of `orders`. A name that would be too long is cut
 * off, and told apart by a hash.
 *
 * @param queue The queue's name.
 * @param declared How it was declared, where that is known.
 * @param most The maximum number of bytes that the broker takes in a name. @default {255}
 * @returns The name.
 *
 * @example Two queues
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { failedQueue } from "@dashi/mq/virtual";
 *
 * assertEquals(failedQueue("orders"), "orders.failed");
 * assertEquals(failedQueue("amq.gen-Xa2"), "dashi.failed");
 * ```
 */
export function failedQueue(
  queue: string,
  declared?: QueueDeclaration | undefined,
  most: number = MAX_SHORT_STRING,
): string {
  if (
    queue.startsWith("amq.") || declared?.exclusive || declared?.autoDelete
  ) return SHARED_FAILED_QUEUE;
  const room = most - FAILED.length;
  if (sizeOf(queue) <= room) return queue + FAILED;
  const mark = `-${shortHash(queue)}`;
  let kept = "";
  let left = room - mark.length;
  for (const character of queue) {
    left -= sizeOf(character);
    if (left < 0) break;
    kept += character;
  }
  return kept + mark + FAILED;
}

function sizeOf(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}

/**
 * Tells long names apart that begin alike: FNV-1a, eight hexadecimal digits.
 *
 * @param text The name.
 * @returns The digits.
 */
export function shortHash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}
