import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  checkBinding,
  checkExchangeDeclaration,
  checkName,
  checkQueueDeclaration,
} from "../../model/checks.ts";
import { NotFoundError } from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import {
  checkExchange,
  checkQueue,
  planBind,
  planDeclareExchange,
  planDeclareQueue,
  planDeleteExchange,
  planDeleteQueue,
  planUnbind,
} from "../../virtual/declare.ts";
import type { DelayedMessage } from "../delayed.ts";
import type { DeleteOptions, DeleteQueueOptions } from "../transport.ts";
import { requireCapability, requireForStoredQueue } from "./capabilities.ts";
import { type Declarer, type Plan, planConsumeAny } from "./declarer.ts";
import { withQueue } from "./known_queues.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import type { TopologyKey } from "./store.ts";

/** Says whether a call may begin, and throws if it may not. */
export type Check = (
  options: CallOptions | undefined,
  action: () => string,
) => void;

/** The verbs that change or look at a store's tables. */
export class Tables {
  readonly #store: StoreWithTopology;
  readonly #declarer: Declarer;
  readonly #owner: string;
  readonly #check: Check;

  /** Makes them for a channel of an owner. */
  constructor(
    store: StoreWithTopology,
    declarer: Declarer,
    owner: string,
    check: Check,
  ) {
    this.#store = store;
    this.#declarer = declarer;
    this.#owner = owner;
    this.#check = check;
  }

  /** Declares an exchange. */
  async declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void> {
    checkExchangeDeclaration(exchange);
    await this.change(
      { type: "exchange", name: exchange.name },
      (topology) => planDeclareExchange(topology, exchange),
      () => `declare exchange "${exchange.name}"`,
      options,
    );
  }

  /** Checks that an exchange is there. */
  async checkExchange(name: string, options?: CallOptions): Promise<void> {
    checkName("exchange", name);
    this.#check(options, () => `check exchange "${name}"`);
    const view = await this.#store.topology.read(
      { type: "exchange", name },
      options,
    );
    checkExchange(view.topology, name);
  }

  /** Deletes an exchange. */
  async deleteExchange(name: string, options?: DeleteOptions): Promise<void> {
    checkName("exchange", name);
    await this.change(
      { type: "exchange", name },
      (topology) =>
        planDeleteExchange(
          topology,
          { name, ifUnused: options?.ifUnused ?? false },
        ),
      () => `delete exchange "${name}"`,
      options,
    );
  }

  /** Declares a queue. */
  async declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    const [store, owner] = [this.#store, this.#owner];
    checkQueueDeclaration(queue);
    requireForStoredQueue(store.capabilities, queue);
    // A random name cannot be taken, so the plan's rule against `amq.` names,
    // which is for names that users choose, is told so.
    const declared = queue.name === ""
      ? { ...queue, name: `amq.gen-${crypto.randomUUID()}` }
      : queue;
    await this.change(
      { type: "queue", name: declared.name },
      (topology) =>
        planDeclareQueue(topology, declared, owner, {
          serverNamed: queue.name === "",
        }),
      () => `declare queue "${declared.name}"`,
      options,
    );
    try {
      return await this.checkQueue(declared.name, options);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      // It was there, and its time is over already.
      return { name: declared.name, messageCount: 0, consumerCount: undefined };
    }
  }

  /** Looks at a queue, for an action that its errors tell. */
  async checkQueue(
    name: string,
    options?: CallOptions,
    action = "check",
  ): Promise<QueueStatus> {
    checkName("queue", name);
    this.#check(options, () => `${action} queue "${name}"`);
    return await withQueue(
      this.#store,
      name,
      options,
      () => this.#lookAt(name, action, options),
    );
  }

  async #lookAt(
    name: string,
    action: string,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    const [store, owner] = [this.#store, this.#owner];
    const view = await store.topology.read({ type: "queue", name }, options);
    const messageCount = await store.messages.count(name, options);
    const record = view.topology.queue(name);
    if (record !== undefined || messageCount === undefined) {
      checkQueue(view.topology, name, owner, action);
    }
    return {
      name,
      messageCount: messageCount ?? 0,
      consumerCount: store.capabilities.has("shared-topology")
        ? record?.consumers.length
        : undefined,
    };
  }

  /** Deletes a queue. */
  async deleteQueue(
    name: string,
    options?: DeleteQueueOptions,
  ): Promise<number> {
    checkName("queue", name);
    const { ifUnused = false, ifEmpty = false } = options ?? {};
    const { capabilities, topology: { findQueue } } = this.#store;
    const isKnown = capabilities.has("known-queues") && findQueue === undefined;
    return await this.change(
      { type: "queue", name },
      (topology) =>
        // If the tables do not know all queues, the queue may exist all the same.
        !isKnown && topology.queue(name) === undefined
          ? [{ type: "queue-deleted", name, ifEmpty }]
          : planDeleteQueue(topology, { name, ifUnused, ifEmpty }, this.#owner),
      () => `delete queue "${name}"`,
      options,
    );
  }

  /** Removes the ready messages of a queue. */
  async purgeQueue(name: string, options?: CallOptions): Promise<number> {
    await this.checkQueue(name, options, "purge");
    return await this.#store.messages.purge(name, options);
  }

  /** Cancels a delayed message, or moves it. */
  async changeDelayed(
    queue: string,
    messageId: string,
    delay: number | undefined,
    options?: CallOptions,
  ): Promise<boolean> {
    await this.checkQueue(queue, options, "find delayed messages of");
    const { messages } = this.#store;
    return await messages.changeDelayed?.(queue, messageId, delay, options) ??
      false;
  }

  /** Lists the delayed messages of a queue. */
  async *listDelayed(
    queue: string,
    options?: CallOptions,
  ): AsyncIterable<readonly DelayedMessage[]> {
    await this.checkQueue(queue, options, "list delayed messages of");
    yield* this.#store.messages.listDelayed?.(queue, options) ?? [];
  }

  /** Adds a consumer. */
  async consume(
    what: Parameters<typeof planConsumeAny>[1],
    options?: CallOptions,
  ): Promise<void> {
    const { queue } = what;
    const knows = this.#store.capabilities.has("known-queues");
    await withQueue(this.#store, queue, options, () =>
      this.change(
        { type: "queue", name: queue },
        (topology) => planConsumeAny(topology, what, this.#owner, knows),
        () => `consume from queue "${queue}"`,
        options,
      ));
  }

  /** Adds a binding. */
  async bind(binding: Binding, options?: CallOptions): Promise<void> {
    checkBinding(binding);
    if (binding.destination.kind === "exchange") {
      requireCapability(
        this.#store.capabilities,
        "exchange-to-exchange",
        `bind exchange "${binding.destination.name}" to exchange "${binding.source}"`,
        "an exchange as the destination",
      );
    }
    await this.change(
      { type: "exchange", name: binding.source },
      (topology) => planBind(topology, binding, this.#owner),
      () => `bind ${binding.destination.kind} "${binding.destination.name}"`,
      options,
    );
  }

  /** Removes a binding. */
  async unbind(binding: Binding, options?: CallOptions): Promise<void> {
    checkBinding(binding);
    await this.change(
      { type: "exchange", name: binding.source },
      (topology) => planUnbind(topology, binding, this.#owner),
      () => `unbind ${binding.destination.kind} "${binding.destination.name}"`,
      options,
    );
  }

  /** Changes the tables by a plan; returns how many messages went with deleted queues. */
  async change(
    key: TopologyKey,
    plan: Plan,
    action: () => string,
    options?: CallOptions,
  ): Promise<number> {
    this.#check(options, action);
    return await this.#declarer.change(key, plan, options);
  }
}
