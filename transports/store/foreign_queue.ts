import type { QueueDeclaration } from "../../model/queue.ts";

/**
 * Describes a queue that is there and that none of ours declared.
 *
 * @param name The queue's name: all that is known.
 * @returns The plainest queue of that name.
 */
export function foreignQueue(name: string): QueueDeclaration {
  return {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
}
