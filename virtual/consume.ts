import { AccessRefusedError } from "../model/errors.ts";
import { checkQueue, type TopologyPlan } from "./declare.ts";
import { Removal } from "./removal.ts";
import type { ConsumerRecord, Topology } from "./topology.ts";

/**
 * Plans to add a consumer.
 *
 * @param topology The tables.
 * @param what The queue's name, the consumer, and which of the present ones are gone, though nobody has cancelled them.
 * @param owner The owner's name.
 * @returns The changes.
 * @throws {NotFoundError} If there is no such queue.
 * @throws {ResourceLockedError} If the queue is exclusive to another owner.
 * @throws {AccessRefusedError} If another consumer has it exclusively, or this one wants to and there are others.
 *
 * @example A first consumer
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { foreignQueue, planConsume, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * topology.apply(foreignQueue("orders"));
 * const consumer = { consumerTag: "1", owner: "me", exclusive: false };
 * const plan = planConsume(topology, { queue: "orders", consumer }, "me");
 * assertEquals(plan, [{ type: "consumer-added", queue: "orders", consumer }]);
 * ```
 */
export function planConsume(
  topology: Topology,
  what: {
    readonly queue: string;
    readonly consumer: ConsumerRecord;
    readonly isGone?: (consumer: ConsumerRecord) => boolean;
  },
  owner: string,
): TopologyPlan {
  const { queue, consumer, isGone = () => false } = what;
  const record = checkQueue(topology, queue, owner, "consume from");
  const gone = record.consumers.filter((each) => isGone(each));
  const consumers = record.consumers.filter((each) => !isGone(each));
  if (consumers.some((each) => each.exclusive)) {
    throw new AccessRefusedError(
      `Cannot consume from queue "${queue}": another consumer has it exclusively`,
    );
  }
  if (consumer.exclusive && consumers.length > 0) {
    throw new AccessRefusedError(
      `Cannot consume exclusively from queue "${queue}": it has consumers already`,
    );
  }
  return [
    ...gone.map((each) =>
      ({ type: "consumer-removed", queue, consumer: each }) as const
    ),
    { type: "consumer-added", queue, consumer },
  ];
}

/**
 * Plans to remove a consumer. An auto-delete queue goes with its last one.
 *
 * @param topology The tables.
 * @param what The queue's name and the consumer.
 * @returns The changes; none if it is not there.
 *
 * @example A consumer that is not there
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { planCancel, Topology } from "@dashi/mq/virtual";
 *
 * const consumer = { consumerTag: "1", owner: "me", exclusive: false };
 * const plan = planCancel(new Topology(), { queue: "orders", consumer });
 * assertEquals(plan, []);
 * ```
 */
export function planCancel(
  topology: Topology,
  what: { readonly queue: string; readonly consumer: ConsumerRecord },
): TopologyPlan {
  const { queue, consumer } = what;
  const record = topology.queue(queue);
  const known = record?.consumers.some((each) => isSame(each, consumer));
  if (record === undefined || !known) return [];
  return new Removal(topology)
    .consumers(record, (each) => isSame(each, consumer)).changes;
}

function isSame(a: ConsumerRecord, b: ConsumerRecord): boolean {
  return a.consumerTag === b.consumerTag && a.owner === b.owner;
}
