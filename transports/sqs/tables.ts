import type { CallOptions } from "../../model/call_options.ts";
import {
  AccessRefusedError,
  NotFoundError,
  UnsupportedError,
} from "../../model/errors.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { planDeleteExchange, planDeleteQueue } from "../../virtual/declare.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";
import { foreignQueue, type TopologyChange } from "../../virtual/topology.ts";
import { LocalTopology } from "../store/local_topology.ts";
import type {
  ChangeResult,
  TopologyKey,
  TopologyStore,
  TopologyView,
} from "../store/store.ts";
import type { Fanout } from "./fanout.ts";
import { isFifo } from "./names.ts";
import type { Queues } from "./queues.ts";

/** The services that the tables use of their store. */
export interface TablesHooks {
  /** Nobody consumes from a queue any more. */
  windUp(queue: string): Promise<void>;
  /** Waits until messages that are on their way back have arrived. */
  settled(): Promise<unknown>;
}

/**
 * The exchanges, queues and bindings that this connection knows, and the queues, topics and
 * subscriptions at AWS that implement them.
 */
export class SqsTables implements TopologyStore {
  readonly #queues: Queues;
  readonly #fanout: Fanout | undefined;
  readonly #hooks: TablesHooks;
  readonly #tables = new LocalTopology({
    count: this.countMessages.bind(this),
    prepare: this.#prepare.bind(this),
  });

  /** Makes tables in which nothing was declared. */
  constructor(queues: Queues, fanout: Fanout | undefined, hooks: TablesHooks) {
    this.#queues = queues;
    this.#fanout = fanout;
    this.#hooks = hooks;
  }

  /** A mark that changes whenever a route may. */
  get routes(): string {
    return this.#tables.routes;
  }

  /** Reads the tables; a queue that is not in them is looked for at AWS. */
  async read(of: TopologyKey, options?: CallOptions): Promise<TopologyView> {
    const { type, name } = of;
    if (type === "queue" && this.#tables.topology.queue(name) === undefined) {
      const found = await this.#queues.find(name, options);
      if (found !== undefined) this.#learn(name);
    }
    return await this.#tables.read();
  }

  /** Makes planned changes. */
  apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    return this.#tables.apply(changes, version, options);
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

  /** Carries a change out at AWS, before it is in the tables. */
  async #prepare(
    change: TopologyChange,
    all: readonly TopologyChange[],
    options?: CallOptions,
  ): Promise<number | void> {
    switch (change.type) {
      case "queue-declared":
        checkOrdered(change.queue);
        await this.#queues.create(change.queue.name, options);
        return;
      case "queue-deleted": {
        const count = await this.countMessages(change.name, options);
        const cancelling = all.some(({ type }) => type === "consumer-removed");
        await this.#delete(change.name, cancelling, options);
        return count;
      }
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
        const consumers =
          this.#tables.topology.queue(change.queue)?.consumers ?? [];
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
    const bindings = [...this.#tables.topology.bindingsTo(queue)].filter((
      each,
    ) => each.source === source);
    if (bindings.length <= 1) await this.#fanout?.unbind(source, queue);
  }

  #isFanout(exchange: string): boolean {
    return this.#fanout !== undefined &&
      this.#tables.topology.exchange(exchange)?.declaration.type === "fanout";
  }

  /** Takes up a queue that is there and was not declared here. */
  #learn(name: string): void {
    if (this.#tables.topology.queue(name) !== undefined) return;
    this.#tables.change(foreignQueue(name));
  }

  /** Whether an error means that a queue was deleted by somebody; then it is forgotten. */
  isGone(queue: string, error: unknown): boolean {
    if (!(error instanceof NotFoundError) || this.#queues.predefined) {
      return false;
    }
    this.#queues.forget(queue);
    this.#forget(planDeleteQueue(
      this.#tables.topology,
      { name: queue, ifUnused: false, ifEmpty: false },
      "",
    ));
    return true;
  }

  /** Forgets an exchange whose topic was deleted by somebody: the next use declares it again, and its bindings. */
  forgetExchange(name: string): void {
    if (name.startsWith("amq.")) return;
    this.#forget(
      planDeleteExchange(this.#tables.topology, { name, ifUnused: false }),
    );
  }

  #forget(changes: readonly TopologyChange[]): void {
    for (const change of changes) this.#tables.change(change);
  }
}

/** FIFO queues alone keep an order, and are known by their names. */
function checkOrdered({ name, arguments: declared }: QueueDeclaration): void {
  if (!queueTraits(declared).ordered || isFifo(name)) return;
  throw new UnsupportedError(
    `Cannot declare queue "${name}" with "x-ordered": SQS keeps the order of keys in FIFO queues, whose names end in ".fifo"; name it "${name}.fifo"`,
  );
}
