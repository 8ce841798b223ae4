import type { CallOptions } from "../../model/call_options.ts";
import { planDeleteQueue } from "../../virtual/declare.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import { isNotEmpty } from "../store/changes.ts";
import type { ChangeResult, TopologyView } from "../store/store.ts";
import type { Database } from "./database.ts";
import { nameOf } from "./ids.ts";
import type { Tables } from "./tables.ts";
import { Usage } from "./usage.ts";

/** What is in the queues, as far as declarations change it. */
export interface Contents {
  /** Counts the ready messages of a queue. */
  count(queue: string, options?: CallOptions): Promise<number>;
  /** Deletes what a generation of a queue has; returns how many messages were ready. */
  delete(queue: string, born: number | undefined): Promise<number>;
  /** Makes a queue that is declared by now, where that is more than its declaration. */
  create?(queue: string): Promise<void>;
}

/** The shared topology, and the effects of a change of it on messages. */
export class Declarations {
  readonly #topology: Tables;
  readonly #contents: Contents;
  readonly #usage: Usage;
  readonly #onDeleted: (queue: string) => void;

  /** Makes one over a database; `onDeleted` is called for each queue that is gone. */
  constructor(
    database: Database,
    topology: Tables,
    contents: Contents,
    onDeleted: (queue: string) => void,
  ) {
    this.#topology = topology;
    this.#contents = contents;
    this.#usage = new Usage(database, topology);
    this.#onDeleted = onDeleted;
  }

  /** Notes that a queue is used. */
  use(queue: string, options?: CallOptions): Promise<void> {
    return this.#usage.use(queue, options);
  }

  /** Looks at the topology; queues that were not used for their time go first. */
  async look(options?: CallOptions): Promise<TopologyView> {
    const view = await this.#topology.look(options);
    if (this.#topology.expiring.length === 0) return view;
    const unused = await this.#usage.findUnused(options);
    if (unused.length === 0) return view;
    for (const name of unused) {
      const { topology, version } = this.#topology.view;
      const owner = topology.queue(name)?.owner ?? "";
      const how = { name, ifUnused: false, ifEmpty: false };
      const changes = planDeleteQueue(topology, how, owner);
      if (changes.length > 0) await this.apply(changes, version, options);
    }
    return await this.#topology.look(options);
  }

  /** Makes planned changes: first in the topology, and then, however long it takes, in the queues. */
  async apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    for (const change of changes) {
      if (change.type === "queue-declared") nameOf(change.queue.name); // or throws
    }
    const count = (queue: string) => this.#contents.count(queue, options);
    if (await isNotEmpty(changes, count)) return { type: "not-empty" };
    // As the version says that it is: a queue of the same name may be declared at once.
    const generations = new Map(
      changes.filter((each) => each.type === "queue-deleted").map((
        { name },
      ) => [name, this.#topology.traits(name).born]),
    );
    if (!await this.#topology.apply(changes, version)) {
      return { type: "stale" };
    }
    let messageCount = 0;
    for (const change of changes) {
      switch (change.type) {
        case "queue-deleted":
          messageCount += await this.#contents.delete(
            change.name,
            generations.get(change.name),
          );
          await this.#usage.forget(change.name);
          this.#onDeleted(change.name);
          break;
        case "queue-declared":
          await this.#contents.create?.(change.queue.name);
          await this.use(change.queue.name);
          break;
        case "consumer-removed":
          await this.use(change.queue);
      }
    }
    return { type: "applied", messageCount };
  }
}
