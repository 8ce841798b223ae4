import { OptionError } from "../../model/errors.ts";
import type { ConsumerOptions } from "./consumer_options.ts";
import { isOrdered, Queue } from "../entities/queue.ts";
import type { RunOptions } from "./run_options.ts";

/**
 * Says whether a run handles the messages of a key one after another: as it is told to, or
 * else if one of its queues is ordered.
 *
 * @param options The options of the run.
 * @param queues The queues of its consumer.
 * @param consumer The options of its consumer.
 * @returns Whether it does.
 * @throws {OptionError} If it is told to, and cannot.
 */
export function isRunOrdered(
  { ordered }: { readonly ordered?: RunOptions["ordered"] },
  queues: readonly (Queue | string)[],
  { autoAck = false }: Pick<ConsumerOptions, "autoAck">,
): boolean {
  if (ordered !== true) {
    return ordered === undefined && !autoAck && orderedOf(queues) !== undefined;
  }
  if (autoAck) {
    throw new OptionError(
      'Cannot run with "ordered" where the consumer has autoAck: a message is acked before its handler is called, and nothing holds back the next one of its key',
    );
  }
  for (const queue of queues) {
    // Of a queue by its name alone nobody knows.
    if (!(queue instanceof Queue) || isOrdered(queue)) continue;
    throw new OptionError(
      `Cannot run with "ordered" on queue "${queue.name}": it is not declared so; make it by new Queue("${queue.name}", { ordered: true })`,
    );
  }
  return true;
}

/**
 * Refuses batches of ordered queues: one message that fails would hold back what its batch
 * has done after it.
 *
 * @param queues The queues of the consumer.
 * @throws {OptionError} If one is ordered.
 */
export function refuseOrdered(queues: readonly (Queue | string)[]): void {
  const queue = orderedOf(queues);
  if (queue === undefined) return;
  throw new OptionError(
    `Cannot run batches of queue "${queue.name}": it is ordered, and the messages of a key are handled one after another; use "run" with "concurrency"`,
  );
}

function orderedOf(queues: readonly (Queue | string)[]): Queue | undefined {
  return queues.find((each): each is Queue =>
    each instanceof Queue && isOrdered(each)
  );
}
