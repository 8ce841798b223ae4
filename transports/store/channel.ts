import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  AccessRefusedError,
  ClosedError,
  NotFoundError,
} from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { Delivery, DeliveryTag, Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import {
  checkExchange,
  checkQueue,
  planBind,
  planCancel,
  planConsume,
  planDeclareExchange,
  planDeclareQueue,
  planDeleteExchange,
  planDeleteQueue,
  planUnbind,
} from "../../virtual/declare.ts";
import type {
  Channel,
  CloseReason,
  ConsumeOptions,
  DeleteOptions,
  DeleteQueueOptions,
  GetOptions,
  PublishOutcome,
  RejectOptions,
  SettleOptions,
  Subscription,
} from "../transport.ts";
import { requireCapability, requireForQueue } from "./capabilities.ts";
import type { DeadLetters } from "./dead_letters.ts";
import { change, type Plan } from "./declarer.ts";
import { Deliveries } from "./deliveries.ts";
import type { Loop } from "./loop.ts";
import type { Publisher } from "./publisher.ts";
import type { Reservation, Store, TopologyKey } from "./store.ts";
import { StoreSubscription, type SubscriptionHost } from "./subscription.ts";

/** What a channel has from its connection. */
export interface ChannelContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly owner: string;
  readonly operationTimeout: number;
  readonly publisher: Publisher;
  readonly deadLetters: DeadLetters;
  /** The loop that takes, or will take, messages of a queue. */
  loopFor(queue: string): Loop;
  /** The channel has ended. */
  forget(channel: StoreChannel): void;
}

/** AMQP's verbs over a store. */
export class StoreChannel implements Channel {
  readonly closed: Promise<CloseReason>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #context: ChannelContext;
  readonly #number: number;
  readonly #deliveries: Deliveries;
  readonly #consumers = new Map<string, Consumer>();
  #ended = false;
  #closing: Promise<void> | undefined;

  /** Opens channel `number` of a connection. */
  constructor(context: ChannelContext, number: number) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#context = context;
    this.#number = number;
    this.#deliveries = new Deliveries(context.store, context.deadLetters);
  }

  /** What was delivered and is not settled. */
  get deliveries(): Deliveries {
    return this.#deliveries;
  }

  async declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void> {
    await this.#change(
      { type: "exchange", name: exchange.name },
      (topology) =>
        planDeclareExchange(topology, exchange, this.#context.owner),
      () => `declare exchange "${exchange.name}"`,
      options,
    );
  }

  async checkExchange(name: string, options?: CallOptions): Promise<void> {
    this.#check(options, () => `check exchange "${name}"`);
    const view = await this.#context.store.readTopology(
      { type: "exchange", name },
      options,
    );
    checkExchange(view.topology, name);
  }

  async deleteExchange(name: string, options?: DeleteOptions): Promise<void> {
    await this.#change(
      { type: "exchange", name },
      (topology) =>
        planDeleteExchange(
          topology,
          { name, ifUnused: options?.ifUnused ?? false },
          this.#context.owner,
        ),
      () => `delete exchange "${name}"`,
      options,
    );
  }

  async declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    const { store, owner } = this.#context;
    requireForQueue(store.capabilities, queue);
    // A random name can not be taken, so the plan's rule against `amq.` names,
    // which is for names that users choose, is told so.
    const declared = queue.name === ""
      ? { ...queue, name: `amq.gen-${crypto.randomUUID()}` }
      : queue;
    await this.#change(
      { type: "queue", name: declared.name },
      (topology) =>
        planDeclareQueue(topology, declared, owner, {
          serverNamed: queue.name === "",
        }),
      () => `declare queue "${declared.name}"`,
      options,
    );
    return await this.checkQueue(declared.name, options);
  }

  async checkQueue(name: string, options?: CallOptions): Promise<QueueStatus> {
    this.#check(options, () => `check queue "${name}"`);
    const { store, owner } = this.#context;
    const view = await store.readTopology({ type: "queue", name }, options);
    const messageCount = await store.countMessages(name, options);
    const record = view.topology.queue(name);
    if (record !== undefined || messageCount === undefined) {
      checkQueue(view.topology, name, owner);
    }
    return {
      name,
      messageCount: messageCount ?? 0,
      consumerCount: store.capabilities.has("shared-topology")
        ? record?.consumers.length
        : undefined,
    };
  }

  async deleteQueue(
    name: string,
    options?: DeleteQueueOptions,
  ): Promise<number> {
    return await this.#change(
      { type: "queue", name },
      (topology) =>
        planDeleteQueue(topology, {
          name,
          ifUnused: options?.ifUnused ?? false,
          ifEmpty: options?.ifEmpty ?? false,
        }, this.#context.owner),
      () => `delete queue "${name}"`,
      options,
    );
  }

  async purgeQueue(name: string, options?: CallOptions): Promise<number> {
    await this.checkQueue(name, options);
    return await this.#context.store.purgeQueue(name, options);
  }

  async bind(binding: Binding, options?: CallOptions): Promise<void> {
    if (binding.destination.kind === "exchange") {
      requireCapability(
        this.#context.store.capabilities,
        "exchange-to-exchange",
        `bind exchange "${binding.destination.name}" to exchange "${binding.source}"`,
        "an exchange as the destination",
      );
    }
    await this.#change(
      { type: "exchange", name: binding.source },
      (topology) => planBind(topology, binding, this.#context.owner),
      () => `bind ${binding.destination.kind} "${binding.destination.name}"`,
      options,
    );
  }

  async unbind(binding: Binding, options?: CallOptions): Promise<void> {
    await this.#change(
      { type: "exchange", name: binding.source },
      (topology) => planUnbind(topology, binding, this.#context.owner),
      () => `unbind ${binding.destination.kind} "${binding.destination.name}"`,
      options,
    );
  }

  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome> {
    if (this.#ended) return Promise.reject(this.#closedError("publish"));
    return this.#context.publisher.publish(message, options);
  }

  async get(
    queue: string,
    options?: GetOptions,
  ): Promise<Delivery | undefined> {
    this.#check(options, () => `get from queue "${queue}"`);
    const { store, owner, deadLetters } = this.#context;
    const view = await store.readTopology(
      { type: "queue", name: queue },
      options,
    );
    if (
      view.topology.queue(queue) !== undefined ||
      store.capabilities.has("known-queues")
    ) checkQueue(view.topology, queue, owner);
    for (;;) {
      const { reservations, missing } = await store.reserve(
        [{ queue, limit: 1 }],
        { ...options, wait: 0 },
      );
      if (missing.length > 0) {
        throw new NotFoundError(
          `Cannot get from queue "${queue}": there is no such queue`,
        );
      }
      const expired = reservations.filter((each) => each.expired);
      await deadLetters.moveAll(expired, "expired", options);
      const [reservation] = reservations.filter((each) => !each.expired);
      if (reservation !== undefined) {
        return await this.#got(reservation, options);
      }
      if (expired.length === 0) return undefined;
    }
  }

  async #got(
    reservation: Reservation,
    options?: GetOptions,
  ): Promise<Delivery | undefined> {
    if (this.#ended) {
      await this.#context.store.release([reservation]);
      throw this.#closedError("get");
    }
    if (options?.noAck) await this.#context.store.remove([reservation]);
    return this.#deliveries.add(reservation, {
      noAck: options?.noAck ?? false,
      onLost: options?.onLost,
    });
  }

  async consume(
    queue: string,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<Subscription> {
    const { store, owner, clock } = this.#context;
    const consumerTag = options.consumerTag ?? `ctag-${crypto.randomUUID()}`;
    if (this.#consumers.has(consumerTag)) {
      throw new AccessRefusedError(
        `Cannot consume from queue "${queue}": the consumer tag "${consumerTag}" is in use on this channel`,
      );
    }
    const consumer: Consumer = {
      record: {
        consumerTag: `${this.#number}.${consumerTag}`,
        owner,
        exclusive: options.exclusive ?? false,
      },
      deliver,
      options,
      subscription: undefined,
    };
    this.#consumers.set(consumerTag, consumer);
    try {
      await this.#change(
        { type: "queue", name: queue },
        (topology) =>
          planConsume(topology, { queue, consumer: consumer.record }, owner),
        () => `consume from queue "${queue}"`,
        options,
      );
    } catch (error) {
      this.#consumers.delete(consumerTag);
      throw error;
    }
    const subscription = new StoreSubscription(
      this.#host,
      {
        queue,
        consumerTag,
        prefetch: options.prefetch,
        noAck: options.noAck ?? false,
      },
      clock,
      store.limits.reserveWait,
    );
    consumer.subscription = subscription;
    if (this.#ended) {
      await subscription[Symbol.asyncDispose]();
      throw this.#closedError("consume");
    }
    this.#context.loopFor(queue).add(subscription);
    return subscription;
  }

  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void> {
    return this.#deliveries.ack(tag, options);
  }

  reject(tag: DeliveryTag, options: RejectOptions): Promise<void> {
    return this.#deliveries.reject(tag, options);
  }

  /** Ends it because the connection was lost. */
  lose(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#deliveries.clear();
    for (const { subscription } of this.#consumers.values()) {
      subscription?.end({ type: "lost", error });
    }
    this.#consumers.clear();
    this.#settleClosed({ type: "lost", error });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const { clock, operationTimeout, store } = this.#context;
    const options = { deadline: clock.now() + operationTimeout };
    try {
      const ending = [...this.#consumers.values()];
      await Promise.all(
        ending.map(({ subscription }) =>
          subscription?.[Symbol.asyncDispose]().catch(() => {})
        ),
      );
      const held = this.#deliveries.clear();
      if (held.length > 0) await store.release(held, options);
    } catch {
      // Closing ends quietly: the broker gives back what it still holds for us.
    } finally {
      this.#context.forget(this);
      this.#settleClosed({ type: "closed" });
    }
  }

  readonly #host: SubscriptionHost = {
    deliver: (subscription, reservation) => {
      const consumer = this.#consumers.get(subscription.consumerTag);
      consumer?.deliver(
        this.#deliveries.add(reservation, {
          noAck: subscription.noAck,
          onLost: consumer.options.onLost,
          subscription,
        }),
      );
    },
    wake: (subscription) => {
      this.#context.loopFor(subscription.queue).wake(subscription.queue);
    },
    cancel: async (subscription) => {
      const { store, owner, clock, operationTimeout } = this.#context;
      const { queue, consumerTag } = subscription;
      const consumer = this.#consumers.get(consumerTag);
      await this.#context.loopFor(queue).remove(subscription);
      this.#consumers.delete(consumerTag);
      if (consumer === undefined) return;
      await change(
        store,
        { type: "queue", name: queue },
        (topology) =>
          planCancel(topology, { queue, consumer: consumer.record }, owner),
        { deadline: clock.now() + operationTimeout },
      );
    },
  };

  #change(
    key: TopologyKey,
    plan: Plan,
    action: () => string,
    options?: CallOptions,
  ): Promise<number> {
    this.#check(options, action);
    return change(this.#context.store, key, plan, options);
  }

  #check(options: CallOptions | undefined, action: () => string): void {
    if (this.#ended) throw this.#closedError(action());
    this.#context.limits.check(options, action);
  }

  #closedError(action: string): ClosedError {
    return new ClosedError(`Cannot ${action}: the channel is closed`);
  }
}

interface Consumer {
  readonly record: {
    readonly consumerTag: string;
    readonly owner: string;
    readonly exclusive: boolean;
  };
  readonly deliver: (delivery: Delivery) => void;
  readonly options: ConsumeOptions;
  subscription: StoreSubscription | undefined;
}
