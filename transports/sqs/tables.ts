import { Line } from "../../async/line.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { AccessRefusedError, NotFoundError } from "../../model/errors.ts";
import { plainQueue } from "../../model/queue.ts";
import { planDeleteExchange, planDeleteQueue } from "../../virtual/declare.ts";
import { Topology, type TopologyChange } from "../../virtual/topology.ts";
import type {
  ChangeResult,
  TopologyKey,
  TopologyStore,
  TopologyView,
} from "../store/store.ts";
import type { Fanout } from "./fanout.ts";
import type { Queues } from "./queues.ts";

/** What the tables need of their store. */
export interface TablesHooks {
  /** Nobody consumes from a queue any more. */
  windUp(queue: string): Promise<void>;
  /** Waits until what is on its way back has arrived. */
  settled(): Promise<unknown>;
}

/**
 * What this connection knows of exchanges, queues and bindings, and what comes of it at
 * AWS: queues, topics and subscriptions.
 */
export class SqsTables implements TopologyStore {
  readonly #queues: Queues;
  readonly #fanout: Fanout | undefined;
  readonly #hooks: TablesHooks;
  readonly #topology = new Topology();
  /** Changes are made one after the other: each is several requests. */
  readonly #changing = new Line();
  #changes = 0;

  /** Makes tables in which nothing was declared. */
  constructor(queues: Queues, fanout: Fanout | undefined, hooks: TablesHooks) {
    this.#queues = queues;
    this.#fanout = fanout;
    this.#hooks = hooks;
  }

  /** A mark that changes whenever the tables do. */
  get version(): string {
    return String(this.#changes);
  }

  /** Reads the tables; a queue that is not in them is looked for at AWS. */
  async read(of: TopologyKey, options?: CallOptions): Promise<TopologyView> {
    const { type, name } = of;
    if (type === "queue" && this.#topology.queue(name) === undefined) {
      const found = await this.#queues.find(name, options);
      if (found !== undefined) this.#learn(name);
    }
    return { topology: this.#topology, version: this.version };
  }

  /** Makes planned changes. */
  apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    return this.#changing.enter(() => this.#apply(changes, version, options));
  }

  /** Counts the ready messages of a queue; `undefined` if there is none, or it may not be known. */
  async countMessages(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    await this.#hooks.settled();
    const found = await this.#queues.find(queue, options);
    if (found === undefined) return undefined;
    try {
      const count = await this.#queues.attribute(
        found,
        "ApproximateNumberOfMessages",
        options,
      );
      return count === undefined ? undefined : Number(count);
    } catch (error) {
      if (!this.isGone(queue, error)) throw error;
      return undefined;
    }
  }

  async #apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    if (version !== this.version) return { type: "stale" };
    let messageCount = 0;
    for (const change of changes) {
      if (change.type !== "queue-deleted") continue;
      const count = await this.countMessages(change.name, options) ?? 0;
      if (change.ifEmpty && count > 0) return { type: "not-empty" };
      messageCount += count;
    }
    const cancelling = changes.some(({ type }) => type === "consumer-removed");
    for (const change of changes) {
      await this.#make(change, cancelling, options);
      this.#topology.apply(change);
      this.#changes++;
    }
    return { type: "applied", messageCount };
  }

  /** What a change means at AWS, before it is in the tables. */
  async #make(
    change: TopologyChange,
    cancelling: boolean,
    options?: CallOptions,
  ): Promise<void> {
    switch (change.type) {
      case "queue-declared":
        await this.#queues.create(change.queue.name, options);
        return;
      case "queue-deleted":
        return await this.#delete(change.name, cancelling, options);
      case "exchange-declared":
        if (change.exchange.type === "fanout") {
          await this.#fanout?.topic(change.exchange.name, options);
        }
        return;
      case "exchange-deleted":
        if (this.#isFanout(change.name)) {
          await this.#fanout?.delete(change.name, options);
        }
        return;
      case "bound":
      case "unbound": {
        const { source, destination: { name } } = change.binding;
        if (!this.#isFanout(source)) return;
        if (change.type === "unbound") return await this.#unbind(source, name);
        const found = await this.#queues.find(name, options);
        if (found !== undefined) {
          await this.#fanout?.bind(source, found, options);
        }
        return;
      }
      case "consumer-removed": {
        const consumers = this.#topology.queue(change.queue)?.consumers ?? [];
        if (consumers.length <= 1) await this.#hooks.windUp(change.queue);
        return;
      }
      case "consumer-added":
        return;
    }
  }

  async #delete(
    name: string,
    cancelling: boolean,
    options?: CallOptions,
  ): Promise<void> {
    if (!this.#queues.predefined) {
      return await this.#queues.delete(name, options);
    }
    if (cancelling) return; // as with Kombu: a predefined queue outlives its consumers
    throw new AccessRefusedError(
      `Cannot delete queue "${name}": it is predefined`,
    );
  }

  /** A queue is subscribed once, however many bindings it has. */
  async #unbind(source: string, queue: string): Promise<void> {
    const bindings = [...this.#topology.bindingsTo(queue)].filter((each) =>
      each.source === source
    );
    if (bindings.length <= 1) await this.#fanout?.unbind(source, queue);
  }

  #isFanout(exchange: string): boolean {
    return this.#fanout !== undefined &&
      this.#topology.exchange(exchange)?.declaration.type === "fanout";
  }

  /** Takes up a queue that is there and was not declared here. */
  #learn(name: string): void {
    if (this.#topology.queue(name) !== undefined) return;
    this.#topology.apply({
      type: "queue-declared",
      queue: plainQueue(name),
      owner: undefined,
      foreign: true,
    });
    this.#changes++;
  }

  /** Whether an error means that a queue was deleted by somebody; then it is forgotten. */
  isGone(queue: string, error: unknown): boolean {
    if (!(error instanceof NotFoundError) || this.#queues.predefined) {
      return false;
    }
    this.#queues.forget(queue);
    this.#forget(planDeleteQueue(
      this.#topology,
      { name: queue, ifUnused: false, ifEmpty: false },
      "",
    ));
    return true;
  }

  /** Forgets an exchange whose topic was deleted by somebody: whoever needs it declares it again, and its bindings. */
  forgetExchange(name: string): void {
    if (name.startsWith("amq.")) return;
    this.#forget(
      planDeleteExchange(this.#topology, { name, ifUnused: false }),
    );
  }

  #forget(changes: readonly TopologyChange[]): void {
    for (const change of changes) this.#topology.apply(change);
    this.#changes++;
  }
}
