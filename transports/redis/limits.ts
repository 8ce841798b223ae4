import {
  type QueueTraits,
  queueTraits,
} from "../../virtual/queue_arguments.ts";

/** The traits of a queue that nobody has declared. */
export const NO_TRAITS: QueueTraits = queueTraits({});

/**
 * Returns a queue's limits as arguments of the script for one message.
 *
 * @param traits The traits of the queue.
 * @returns `x-max-length`, `x-max-length-bytes`, whether it refuses; `""` is none.
 */
export function limitsOf(
  { maxLength, maxBytes, refuses }: QueueTraits,
): readonly (string | number)[] {
  return [maxLength ?? "", maxBytes ?? "", refuses ? 1 : 0];
}
