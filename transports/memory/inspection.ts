import type { Clock } from "../../async/clock.ts";
import { copyOf } from "../../model/copies.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { secondsSince } from "../store/inspection.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type {
  InspectionStore,
  PeekedItem,
  StoredCounts,
} from "../store/store.ts";
import type { MemoryBroker } from "./broker.ts";
import type { MemoryQueue } from "./queue.ts";

/** Looks into the queues of a broker in this process. */
export class MemoryInspection implements InspectionStore {
  readonly #broker: MemoryBroker;
  readonly #clock: Clock;
  readonly #lifeline: Lifeline;

  /** Makes one for a connection. */
  constructor(
    broker: MemoryBroker,
    { clock }: { readonly clock: Clock },
    lifeline: Lifeline,
  ) {
    this.#broker = broker;
    this.#clock = clock;
    this.#lifeline = lifeline;
  }

  look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly (StoredCounts | undefined)[]> {
    return this.#lifeline.run("look at queues", options, () => {
      const out = this.#countHeld();
      const now = this.#clock.wall();
      return Promise.resolve(queues.map((name) => {
        const queue = this.#broker.queue(name);
        if (queue === undefined) return undefined;
        const [first] = queue.list(1);
        return {
          ready: queue.size,
          delayed: queue.delayed,
          unacked: out.get(queue) ?? 0,
          oldestAge: secondsSince(
            first?.message.properties.timestamp?.getTime(),
            now,
          ),
          bytes: queue.bytes,
        };
      }));
    });
  }

  peek(
    name: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly PeekedItem[]> {
    return this.#lifeline.run(
      `peek at queue "${name}"`,
      options,
      () =>
        Promise.resolve(
          this.#broker.queue(name)?.list(max).map((
            { message, deliveryCount },
          ) => ({
            message: copyOf(message.publishing),
            redelivered: deliveryCount > 0,
            deliveryCount,
          })) ?? [],
        ),
    );
  }

  /** Counted when somebody looks: each connection knows what it holds, and no queue does. */
  #countHeld(): ReadonlyMap<MemoryQueue, number> {
    const counts = new Map<MemoryQueue, number>();
    for (const held of this.#broker.held) {
      for (const { from, expired } of held.list()) {
        if (!expired) counts.set(from, (counts.get(from) ?? 0) + 1);
      }
    }
    return counts;
  }
}
