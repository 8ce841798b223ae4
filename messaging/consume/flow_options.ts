import { OptionError } from "../../model/errors.ts";
import { Queue } from "../entities/queue.ts";

/**
 * Refuses to stop consuming for a while where that would delete a queue.
 *
 * @param queues The queues of the consumer.
 * @param what The call that was asked for, for the error.
 * @throws {OptionError} If one is deleted with its last consumer.
 */
export function checkPausable(
  queues: readonly (Queue | string)[],
  what: string,
): void {
  for (const queue of queues) {
    if (!(queue instanceof Queue) || !queue.autoDelete) continue;
    throw new OptionError(
      `Cannot ${what} a consumer of queue "${queue.name}": the queue would be deleted, with its messages, as it is declared with "autoDelete"${
        queue.exclusive ? ", which exclusive queues are by default" : ""
      }; declare it with autoDelete: false`,
    );
  }
}
