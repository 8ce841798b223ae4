import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { checkConsume, checkName } from "../../model/checks.ts";
import { AccessRefusedError, ClosedError } from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { Delivery, DeliveryTag, Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import { planCancel } from "../../virtual/consume.ts";
import type { ConsumerRecord } from "../../virtual/topology.ts";
import type {
  Channel,
  CloseReason,
  ConsumeOptions,
  DeleteOptions,
  DeleteQueueOptions,
  GetOptions,
  Parked,
  ParkOptions,
  PublishOutcome,
  Quarantined,
  QuarantineOptions,
  RejectOptions,
  SettleOptions,
  Subscription,
} from "../transport.ts";
import { lostBefore, NotNowError } from "../connection_errors.ts";
import type { ChannelContext } from "./channel_context.ts";
import { Deliveries, type Holding } from "./deliveries.ts";
import { takeReady } from "./getting.ts";
import { enterLater } from "./late_entry.ts";
import { Tables } from "./tables.ts";
import { StoreSubscription, type SubscriptionHost } from "./subscription.ts";

/** AMQP's verbs over a store. */
export class StoreChannel implements Channel {
  readonly closed: Promise<CloseReason>;
  readonly changeDelayed: NonNullable<Channel["changeDelayed"]>;
  readonly listDelayed?: NonNullable<Channel["listDelayed"]>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #context: ChannelContext<StoreChannel>;
  readonly #number: number;
  readonly #tables: Tables;
  /** The messages that were delivered and are not settled. */
  readonly deliveries: Deliveries;
  readonly #consumers = new Map<string, Consumer>();
  #ended = false;
  #lost: Error | undefined;
  #closing: Promise<void> | undefined;

  /** Opens channel `number` of a connection. */
  constructor(context: ChannelContext<StoreChannel>, number: number) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#context = context;
    this.#number = number;
    this.#tables = new Tables(
      context.store,
      context.declarer,
      context.owner,
      (options, action) => this.#check(options, action),
    );
    this.changeDelayed = this.#tables.changeDelayed.bind(this.#tables);
    if (context.store.messages.listDelayed !== undefined) {
      this.listDelayed = this.#tables.listDelayed.bind(this.#tables);
    }
    this.deliveries = new Deliveries(context);
  }

  declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void> {
    return this.#tables.declareExchange(exchange, options);
  }

  checkExchange(name: string, options?: CallOptions): Promise<void> {
    return this.#tables.checkExchange(name, options);
  }

  deleteExchange(name: string, options?: DeleteOptions): Promise<void> {
    return this.#tables.deleteExchange(name, options);
  }

  declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    return this.#tables.declareQueue(queue, options);
  }

  checkQueue(name: string, options?: CallOptions): Promise<QueueStatus> {
    return this.#tables.checkQueue(name, options);
  }

  deleteQueue(name: string, options?: DeleteQueueOptions): Promise<number> {
    return this.#tables.deleteQueue(name, options);
  }

  purgeQueue(name: string, options?: CallOptions): Promise<number> {
    return this.#tables.purgeQueue(name, options);
  }

  bind(binding: Binding, options?: CallOptions): Promise<void> {
    return this.#tables.bind(binding, options);
  }

  unbind(binding: Binding, options?: CallOptions): Promise<void> {
    return this.#tables.unbind(binding, options);
  }

  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome> {
    if (this.#ended) return Promise.reject(this.#endedError("publish"));
    return this.#context.publisher.publish(message, options);
  }

  async get(
    queue: string,
    options?: GetOptions,
  ): Promise<Delivery | undefined> {
    const [delivery] = await this.getMany(queue, 1, options);
    return delivery;
  }

  async getMany(
    queue: string,
    max: number,
    options?: GetOptions,
  ): Promise<readonly Delivery[]> {
    checkName("queue", queue);
    this.#check(options, () => `get from queue "${queue}"`);
    const taken = await takeReady(this.#context, queue, max, options);
    if (taken.length === 0) return [];
    const { store, leftovers } = this.#context;
    if (this.#ended) {
      await leftovers.release(taken);
      throw this.#endedError("get");
    }
    if (options?.noAck) {
      try {
        await store.messages.remove(taken, options);
      } catch (error) {
        await leftovers.release(taken); // nobody has seen them
        throw error;
      }
    }
    return taken.map((reservation) =>
      this.deliveries.add(reservation, {
        noAck: options?.noAck ?? false,
        onLost: options?.onLost,
      })
    );
  }

  async consume(
    queue: string,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<Subscription> {
    checkConsume(queue, options);
    const { store, owner, clock, consumerTags } = this.#context;
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
      holding: undefined,
    };
    this.#consumers.set(consumerTag, consumer);
    const { record } = consumer;
    consumerTags.add(record.consumerTag);
    // Of an earlier connection of the owner's, which was lost before it could cancel them.
    const isGone = (each: ConsumerRecord) =>
      each.owner === owner &&
      (each.consumerTag === record.consumerTag ||
        !consumerTags.has(each.consumerTag));
    const what = { queue, consumer: record, isGone };
    let isEntered = true;
    try {
      await this.#tables.consume(what, options);
    } catch (error) {
      if (!(error instanceof NotNowError) || record.exclusive) {
        this.#consumers.delete(consumerTag);
        consumerTags.delete(record.consumerTag);
        throw error;
      }
      isEntered = false;
    }
    const subscription = new StoreSubscription(
      this.#host,
      {
        queue,
        consumerTag,
        prefetch: options.prefetch,
        noAck: options.noAck ?? false,
        wanted: options.wanted,
        fetchesOnDemand: store.limits.countsReserves ?? false,
      },
      clock,
      store.limits.reserveWait,
    );
    consumer.subscription = subscription;
    void subscription.ended.then(({ type }) =>
      type === "cancelled" ? undefined : this.#forget(queue, consumerTag)
    );
    if (this.#ended) {
      await subscription[Symbol.asyncDispose]();
      throw this.#endedError("consume");
    }
    this.#context.loopFor(queue).add(subscription);
    if (!isEntered) {
      void enterLater(this.#context, {
        isWanted: () =>
          !this.#ended && this.#consumers.get(consumerTag) === consumer,
        enter: () => this.#tables.consume(what, this.#soon()),
        leave: () => this.#removeRecord(queue, record, planCancel),
        failed: (error) => subscription.end({ type: "lost", error }),
      });
    }
    return subscription;
  }

  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void> {
    return this.deliveries.ack(tag, options);
  }

  reject(tag: DeliveryTag, options: RejectOptions): Promise<void> {
    return this.deliveries.reject(tag, options);
  }

  park(tag: DeliveryTag, options: ParkOptions): Promise<Parked> {
    return this.deliveries.park(tag, options);
  }

  async listQuarantined(
    queue: string,
    options: QuarantineOptions,
  ): Promise<readonly Quarantined[]> {
    this.#check(options, () => `list the quarantined messages of "${queue}"`);
    return await this.#context.quarantine.list(queue, options);
  }

  async putBack(
    queue: string,
    ids: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number> {
    this.#check(options, () => `put back into queue "${queue}"`);
    return await this.#context.quarantine.putBack(queue, ids, options);
  }

  /** Ends it because the connection was lost. */
  lose(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#lost = error;
    this.deliveries.clear();
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
    const { limits, leftovers } = this.#context;
    const options = this.#soon();
    try {
      const ending = [...this.#consumers.values()];
      await Promise.all(
        ending.map(({ subscription }) =>
          subscription?.[Symbol.asyncDispose]().catch(() => {})
        ),
      );
      // A settlement that is under way either succeeds, or its message stays reserved and
      // goes back with the rest.
      await limits.wait(this.deliveries.idle(), options, () => new Error())
        .catch(() => {});
      await leftovers.release(this.deliveries.clear(), options);
    } finally {
      this.#context.forget(this);
      this.#settleClosed({ type: "closed" });
    }
  }

  readonly #host: SubscriptionHost = {
    deliver: (subscription, reservation) => {
      const consumer = this.#consumers.get(subscription.consumerTag);
      if (consumer === undefined) return;
      const { noAck } = subscription;
      const { onLost } = consumer.options;
      const holding = consumer.holding ??= { noAck, onLost, subscription };
      consumer.deliver(this.deliveries.add(reservation, holding));
    },
    wake: (subscription) => {
      this.#context.loopFor(subscription.queue).wake(subscription.queue);
    },
    cancel: async (subscription) => {
      const { queue, consumerTag } = subscription;
      await this.#context.loopFor(queue).remove(subscription);
      await this.#removeConsumer(queue, consumerTag, planCancel);
    },
  };

  /**
   * A consumer has ended that nobody cancelled: it counts no more, nor is an exclusive one in
   * the way of the next. An auto-delete queue stays with its last one, which may come back.
   */
  async #forget(queue: string, consumerTag: string): Promise<void> {
    try {
      await this.#removeConsumer(
        queue,
        consumerTag,
        (topology, what) =>
          topology.queue(queue)?.declaration.autoDelete
            ? []
            : planCancel(topology, what),
      );
    } catch {
      // With the connection its consumers go, too.
    }
  }

  async #removeConsumer(
    queue: string,
    consumerTag: string,
    plan: typeof planCancel,
  ): Promise<void> {
    const record = this.#consumers.get(consumerTag)?.record;
    this.#consumers.delete(consumerTag);
    if (record === undefined) return;
    this.#context.consumerTags.delete(record.consumerTag);
    await this.#removeRecord(queue, record, plan);
  }

  async #removeRecord(
    queue: string,
    record: ConsumerRecord,
    plan: typeof planCancel,
  ): Promise<void> {
    if (this.#lost !== undefined) return;
    await this.#context.declarer.change(
      { type: "queue", name: queue },
      (topology) => plan(topology, { queue, consumer: record }),
      this.#soon(),
    );
  }

  /** The limits of a call that nobody has given any. */
  #soon(): { readonly deadline: number } {
    const { clock, operationTimeout } = this.#context;
    return { deadline: clock.now() + operationTimeout };
  }

  #check(options: CallOptions | undefined, action: () => string): void {
    if (this.#ended) throw this.#endedError(action());
    this.#context.limits.check(options, action);
  }

  #endedError(action: string): Error {
    return this.#lost === undefined
      ? new ClosedError(`Cannot ${action}: the channel is closed`)
      : lostBefore(action, { cause: this.#lost });
  }
}

interface Consumer {
  readonly record: ConsumerRecord;
  readonly deliver: (delivery: Delivery) => void;
  readonly options: ConsumeOptions;
  subscription: StoreSubscription | undefined;
  /** How its messages are held: one for all. */
  holding: Holding | undefined;
}
