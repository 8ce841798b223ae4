import type { Limits } from "../../async/limits.ts";
import { Line } from "../../async/line.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { PreconditionFailedError, TimeoutError } from "../../model/errors.ts";
import { plainQueue } from "../../model/queue.ts";
import { planConsume } from "../../virtual/consume.ts";
import type { Topology, TopologyChange } from "../../virtual/topology.ts";
import type { Store, TopologyKey } from "./store.ts";

/** Decides which changes lead from a topology to what is wanted, or throws why it cannot be had. */
export type Plan = (topology: Topology) => readonly TopologyChange[];

/**
 * Changes the tables, for all of a connection, one change after the other: those at the
 * same time would all rest on the same version, and all but one of them be done again.
 */
export class Declarer {
  readonly #store: Store;
  readonly #limits: Limits;
  readonly #line = new Line();

  /** Makes one that has changed nothing. */
  constructor(store: Store, limits: Limits) {
    this.#store = store;
    this.#limits = limits;
  }

  /**
   * Reads, plans and applies, and does so again if another process was faster.
   *
   * @param key The part of the tables that the plan looks at.
   * @param plan Decides.
   * @param options The call's limits, kept by the store's own calls.
   * @returns How many messages went with deleted queues.
   * @throws {PreconditionFailedError} If a queue should have been empty and is not.
   */
  async change(
    key: TopologyKey,
    plan: Plan,
    options?: CallOptions,
  ): Promise<number> {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const turn = this.#line.stand(() => {
      begin();
      return this.#change(key, plan, options);
    });
    try {
      await this.#limits.wait(begun, options, () =>
        new TimeoutError(
          `Cannot change what is declared around ${key.type} "${key.name}" in time: other changes have not ended`,
          { outcome: "not-sent" },
        ));
    } catch (error) {
      turn.leave();
      throw error;
    }
    return await turn.taken;
  }

  async #change(
    key: TopologyKey,
    plan: Plan,
    options?: CallOptions,
  ): Promise<number> {
    const store = this.#store;
    for (;;) {
      options?.signal?.throwIfAborted();
      const view = await store.readTopology(key, options);
      const changes = plan(view.topology);
      if (changes.length === 0) return 0;
      const result = await store.applyChanges(changes, view.version, options);
      switch (result.type) {
        case "applied":
          return result.messageCount;
        case "not-empty":
          throw new PreconditionFailedError(
            `Cannot delete queue "${key.name}" if empty: it has messages`,
          );
        case "stale":
          continue;
      }
    }
  }
}

/**
 * Plans to consume. A queue that is not in the tables is added as somebody else's, where
 * those do not know all queues.
 *
 * @param topology The tables.
 * @param what The queue's name, the consumer, and which of the present ones are gone.
 * @param owner Whose the consumer is.
 * @param knowsQueues Whether a queue that is not in the tables is not there.
 * @returns The changes.
 * @throws {NotFoundError} If there is no such queue.
 */
export function planConsumeAny(
  topology: Topology,
  what: Parameters<typeof planConsume>[1],
  owner: string,
  knowsQueues: boolean,
): readonly TopologyChange[] {
  const { queue: name, consumer } = what;
  if (knowsQueues || topology.queue(name) !== undefined) {
    return planConsume(topology, what, owner);
  }
  return [
    {
      type: "queue-declared",
      queue: plainQueue(name),
      owner: undefined,
      foreign: true,
    },
    { type: "consumer-added", queue: name, consumer },
  ];
}
