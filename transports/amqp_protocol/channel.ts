import { atNextTurn } from "../../async/turn.ts";
import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ChannelError,
  ClosedError,
  ConnectionError,
  NotFoundError,
  SettlementError,
  type TimeoutError,
} from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { Delivery, DeliveryTag, Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
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
  RejectOptions,
  SettleOptions,
  Subscription,
} from "../transport.ts";
import { notAnswered } from "../connection_errors.ts";
import { Deliveries } from "./deliveries.ts";
import type { ChannelContext } from "./context.ts";
import type { Publish } from "./delays.ts";
import { DIRECT_REPLY_TO } from "./direct_reply.ts";
import { AmqpDelivery, GOT, OFFSET } from "./delivery.ts";
import {
  channelEnded,
  channelError,
  closedChannel,
  isUnsent,
  streamKeeps,
} from "./errors.ts";
import { describe, type Failure, SILENT } from "./failure.ts";
import type { AmqpClientChannel, RawMessage } from "./port.ts";
import {
  consumePartitions,
  PartitionsGetter,
  type PartitionsHost,
} from "./ordered_consumer.ts";
import { OrderedPublishes } from "./ordered_publishes.ts";
import { OrderedTopology } from "./ordered_topology.ts";
import { describePublish, Publishes } from "./publishes.ts";
import { refuseMessage } from "./refusals.ts";
import type { Server } from "./server.ts";
import { AmqpSubscription } from "./subscription.ts";
import type { Call } from "./topology.ts";

/** About so many bytes of messages are asked for together. */
const MAX_BURST = 2 ** 22;

/** A message that was asked for, and how many more were ready. */
interface Got {
  readonly delivery: Delivery;
  readonly left: number;
}

/** AMQP's verbs over the client's channel. */
export class AmqpChannel implements Channel {
  readonly closed: Promise<CloseReason>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #context: ChannelContext;
  readonly #client: AmqpClientChannel;
  readonly #server: Server;
  readonly #topology: OrderedTopology;
  readonly #publishes: Publishes;
  readonly #ordered: OrderedPublishes;
  readonly #deliveries: Deliveries;
  readonly #subscriptions = new Set<AmqpSubscription>();
  readonly #partitions: PartitionsHost;
  #getter: PartitionsGetter | undefined;
  /** Rejects when the channel ends: what every call waits for too. */
  readonly #ended: Promise<never>;
  readonly #rejectEnded: (error: Error) => void;
  readonly #isSuperseded: () => boolean;
  #endError: Error | undefined;
  #closing: Promise<void> | undefined;

  /** Made by the connection over an open channel of the client's. */
  constructor(
    context: ChannelContext,
    client: AmqpClientChannel,
    isSuperseded: () => boolean,
  ) {
    const closed = Promise.withResolvers<CloseReason>();
    this.closed = closed.promise;
    this.#settleClosed = closed.resolve;
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(() => {});
    this.#ended = ended.promise;
    this.#rejectEnded = ended.reject;
    this.#context = context;
    this.#client = client;
    this.#isSuperseded = isSuperseded;
    const call: Call = (action, options, run) =>
      this.#call(action, options, run);
    const server = this.#server = context.server();
    this.#topology = new OrderedTopology(
      client,
      call,
      server,
      context.ordered,
    );
    const deliveries = this.#deliveries = new Deliveries(client, context);
    this.#partitions = { client, deliveries, call };
    this.#publishes = new Publishes(
      client,
      context,
      (error) => this.#giveUp(error),
      (message, returned) => this.#ordered.elsewhere(message, returned),
    );
    this.#ordered = new OrderedPublishes(
      context,
      this.#publishes,
      this.#publish,
    );
  }

  get superseded(): boolean {
    return this.#isSuperseded();
  }

  /** The broker gives a mandatory message back. */
  returned(message: RawMessage): void {
    this.#publishes.returned(message);
  }

  declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void> {
    return this.#topology.declareExchange(exchange, options);
  }

  checkExchange(name: string, options?: CallOptions): Promise<void> {
    return this.#topology.checkExchange(name, options);
  }

  deleteExchange(name: string, options?: DeleteOptions): Promise<void> {
    return this.#topology.deleteExchange(name, options);
  }

  async declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    const status = await this.#topology.declareQueue(queue, options);
    this.#context.returns.note(queue);
    this.#context.streams.note(queue);
    return status;
  }

  checkQueue(name: string, options?: CallOptions): Promise<QueueStatus> {
    return this.#topology.checkQueue(name, options);
  }

  async deleteQueue(
    name: string,
    options?: DeleteQueueOptions,
  ): Promise<number> {
    const count = await this.#topology.deleteQueue(name, options);
    this.#context.streams.forget(name);
    return count;
  }

  async purgeQueue(name: string, options?: CallOptions): Promise<number> {
    const looking = this.#refuseStream(`purge queue "${name}"`, name, options);
    if (looking !== undefined) await looking;
    return await this.#topology.purgeQueue(name, options);
  }

  bind(binding: Binding, options?: CallOptions): Promise<void> {
    return this.#topology.bind(binding, options);
  }

  unbind(binding: Binding, options?: CallOptions): Promise<void> {
    return this.#topology.unbind(binding, options);
  }

  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome> {
    try {
      this.#check(options, () => describePublish(message));
      const refused = refuseMessage(this.#server, message);
      if (refused !== undefined) return Promise.reject(refused);
      if (message.exchange === "" && this.#context.ordered.mayTake(message)) {
        return this.#ordered.publish(message, options);
      }
      return message.delay > 0
        ? this.#context.delays.publish(message, this.#publish, options)
        : this.#publishes.publish(message, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async get(
    queue: string,
    options?: GetOptions,
  ): Promise<Delivery | undefined> {
    return (await this.#get(queue, options))?.delivery;
  }

  /** The first tells how many there are, and how large they may be; the others are asked for together. */
  async getMany(
    queue: string,
    max: number,
    options?: GetOptions,
  ): Promise<readonly Delivery[]> {
    const first = await this.#get(queue, options);
    if (first === undefined) return [];
    const { delivery, left } = first;
    const room = Math.floor(MAX_BURST / Math.max(1, delivery.body.byteLength));
    const count = Math.min(max - 1, left, room);
    const asked = await Promise.allSettled(
      Array.from({ length: count }, () => this.#get(queue, options)),
    );
    const taken = [delivery];
    for (const each of asked) {
      if (each.status === "rejected" || each.value === undefined) continue;
      taken.push(each.value.delivery);
    }
    const failed = asked.find(({ status }) => status === "rejected");
    if (failed?.status !== "rejected") return taken;
    if (!options?.noAck && this.#endError === undefined) {
      // The last first: each goes in front of the one that stood behind it.
      for (const { deliveryTag } of taken.toReversed()) {
        void this.#deliveries.reject(deliveryTag, { requeue: true });
      }
    }
    throw failed.reason;
  }

  async #get(
    queue: string,
    options: GetOptions | undefined,
  ): Promise<Got | undefined> {
    const noAck = options?.noAck ?? false;
    const ordered = this.#context.ordered.get(queue);
    if (ordered !== undefined) {
      this.#getter ??= new PartitionsGetter(this.#partitions);
      const delivery = await this.#getter.get(ordered, noAck, options);
      return delivery && { delivery, left: 0 };
    }
    const action = `get from queue "${queue}"`;
    const looking = this.#refuseStream(action, queue, options);
    if (looking !== undefined) await looking;
    const retry = this.#context.returns.retryOf(queue);
    let wanted = true;
    try {
      return await this.#call(action, options, async () => {
        const message = await this.#client.get(queue, noAck);
        if (message === undefined) return undefined;
        const delivery = new AmqpDelivery(queue, message, GOT, { retry });
        if (!wanted && !noAck) {
          // Nobody waits for it any more: the call was aborted.
          this.#deliveries.giveBack(delivery);
          return undefined;
        }
        const { messageCount: left = 0 } = message.fields;
        return { delivery: this.#added(delivery, noAck), left };
      });
    } catch (error) {
      throw await this.#orUnknown(queue, error);
    } finally {
      wanted = false;
    }
  }

  async consume(
    queue: string,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<Subscription> {
    const { prefetch, noAck = false, exclusive = false } = options;
    const { heartbeat } = this.#context;
    const ordered = this.#context.ordered.get(queue);
    const subscription = new AmqpSubscription(
      {
        queue,
        prefetch,
        consumerTag: options.consumerTag ?? `ctag-${crypto.randomUUID()}`,
        // Without heartbeats the broker may be silent for as long as it likes.
        heardEvery: heartbeat === 0 ? Infinity : heartbeat,
        partitions: ordered?.partitions.length,
      },
      () => this.#context.lastHeard(),
      (ending) => this.#cancel(ending),
    );
    if (ordered !== undefined) {
      await consumePartitions(
        ordered,
        subscription,
        deliver,
        options,
        this.#partitions,
      );
      return this.#begun(subscription);
    }
    const { consumerTag } = subscription;
    const { returns, streams } = this.#context;
    const origin = {
      retry: returns.retryOf(queue),
      mayBeOfStream: streams.get(queue) === true ||
        options.arguments?.[OFFSET] !== undefined,
    };
    const consuming = this.#call(
      `consume from queue "${queue}"`,
      options,
      () =>
        this.#client.consume(
          queue,
          (message) => {
            if (message === undefined) return this.#endedByBroker(subscription);
            const delivery = new AmqpDelivery(
              queue,
              message,
              subscription,
              origin,
            );
            if (queue === DIRECT_REPLY_TO) return deliver(delivery);
            if (subscription.running) deliver(this.#added(delivery, noAck));
            else if (noAck) this.#deliveries.add(delivery, true);
            else this.#deliveries.giveBack(delivery);
          },
          {
            consumerTag,
            prefetch,
            noAck,
            exclusive,
            arguments: options.arguments ?? {},
          },
        ),
    );
    await consuming.catch(async (error) => {
      throw await this.#orUnknown(queue, error);
    });
    return this.#begun(subscription);
  }

  /** RabbitMQ would end the connection. Returns a promise where it must be looked what the queue is. */
  #refuseStream(
    action: string,
    queue: string,
    options: CallOptions | undefined,
  ): Promise<void> | undefined {
    this.#check(options, () => action);
    const { streams, limits, ordered } = this.#context;
    const isStream = ordered.get(queue) === undefined && streams.get(queue);
    if (isStream === true) throw streamKeeps(action);
    if (isStream === false) return undefined;
    const late = () => notAnswered(action, "not-sent");
    return limits.wait(streams.look(queue), options, late).then((found) => {
      if (found) throw streamKeeps(action);
    });
  }

  #begun(subscription: AmqpSubscription): AmqpSubscription {
    if (this.#endError !== undefined) throw this.#endError;
    this.#subscriptions.add(subscription);
    return subscription;
  }

  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void> {
    const refused = this.#refuse(options);
    if (refused !== undefined) return Promise.reject(refused);
    return this.#deliveries.ack(tag, options?.multiple ?? false);
  }

  reject(tag: DeliveryTag, options: RejectOptions): Promise<void> {
    const refused = this.#refuse(options);
    if (refused !== undefined) return Promise.reject(refused);
    return this.#context.returns.reject(tag, this.#deliveries, options);
  }

  park(tag: DeliveryTag, options: ParkOptions): Promise<Parked> {
    const refused = this.#refuse(options);
    if (refused !== undefined) return Promise.reject(refused);
    return this.#context.parking.park(tag, this.#deliveries, options);
  }

  /** Ends it: the client's channel is gone. `failure` is why, unless we closed it. */
  lose(failure: Failure | undefined, connectionLost?: Error): void {
    if (this.#endError !== undefined) return;
    const error = connectionLost ??
      channelError("go on with a channel", failure ?? SILENT);
    const pending = connectionLost ??
      channelEnded((failure ?? SILENT).text, error);
    this.#end(pending, { type: "lost", error }, failure);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  readonly #publish: Publish = (message, options) => {
    return this.publish(message, options);
  };

  /** Resolves to the error for a queue that the broker does not know, for it may be an ordered one: that has ended the channel. */
  async #orUnknown(queue: string, error: unknown): Promise<unknown> {
    if (!(error instanceof NotFoundError)) return error;
    if (await this.#context.ordered.findAgain(queue) === undefined) {
      return error;
    }
    return new ChannelError(
      `Cannot use queue "${queue}" by this channel: it is ordered, and was not known to be; the next call knows`,
      { code: "channel-closed", outcome: "not-sent", cause: error },
    );
  }

  #added(delivery: AmqpDelivery, noAck: boolean): AmqpDelivery {
    this.#deliveries.add(delivery, noAck);
    return delivery;
  }

  async #close(): Promise<void> {
    if (this.#endError !== undefined) return;
    const tags = [...this.#subscriptions].flatMap(({ tags }) => tags);
    const returning = this.#context.returns
      .beforeClose(this.#deliveries, this.#client, tags);
    if (returning !== undefined) await returning;
    if (this.#endError !== undefined) return;
    for (const each of this.#subscriptions) each.end({ type: "cancelled" });
    this.#deliveries.flush();
    this.#end(closedChannel(), { type: "closed" }, undefined);
    const { clock, limits, operationTimeout, blocked } = this.#context;
    try {
      const answer = this.#client.close();
      answer.catch(() => {});
      if (blocked() !== undefined) return; // it comes when the broker reads again
      // The answer is due by the connection, whose heartbeat ends it.
      await limits.wait(
        answer,
        { deadline: clock.now() + operationTimeout },
        closedChannel,
      );
    } catch {
      // Closing ends quietly.
    }
  }

  async #cancel(subscription: AmqpSubscription): Promise<void> {
    this.#subscriptions.delete(subscription);
    const { clock, operationTimeout } = this.#context;
    for (const tag of subscription.tags) {
      await this.#call(
        `cancel consumer "${subscription.consumerTag}"`,
        { deadline: clock.now() + operationTimeout },
        () => this.#client.cancel(tag),
      );
    }
    for (const tag of subscription.late.splice(0)) {
      void this.#deliveries.reject(tag, { requeue: true });
    }
  }

  #endedByBroker(subscription: AmqpSubscription): void {
    this.#subscriptions.delete(subscription);
    subscription.end({
      type: "ended-by-broker",
      error: new ChannelError(
        `Consumer of queue "${subscription.queue}" ended: the broker cancelled it, for the queue was deleted or has moved`,
        { code: "consumer-cancelled" },
      ),
    });
  }

  /** The broker owes an answer: nothing on this channel is sure any more. */
  #giveUp(error: TimeoutError | ChannelError): void {
    if (this.#endError !== undefined) return;
    const pending = channelEnded(error.message, error);
    this.#end(pending, { type: "lost", error }, undefined);
    this.#client.close().catch(() => {});
  }

  #end(
    pending: Error,
    reason: CloseReason,
    failure: Failure | undefined,
  ): void {
    this.#endError = pending;
    this.#publishes.lose(failure, pending);
    this.#deliveries.lose(pending);
    for (const each of this.#subscriptions) {
      each.end({ type: "lost", error: pending });
    }
    this.#subscriptions.clear();
    this.#settleClosed(reason);
    // A turn later: the call whose fault it was hears it from the broker first.
    atNextTurn(() => this.#rejectEnded(pending));
  }

  /** Makes a call that the broker answers, within its limits, and translates its errors. */
  async #call<T>(
    action: string,
    options: CallOptions | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    this.#check(options, () => action);
    this.#deliveries.flush();
    const answer = this.#translated(action, call);
    answer.catch(() => {});
    let late: TimeoutError | undefined;
    try {
      return await this.#context.limits.wait(
        Promise.race([answer, this.#ended]),
        options,
        () => late = notAnswered(action, "unknown"),
      );
    } catch (error) {
      if (late !== undefined) this.#giveUp(late);
      throw error;
    }
  }

  async #translated<T>(action: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      const ended = this.#endError;
      // The client may say no more than that its channel is gone.
      if (ended instanceof ClosedError || ended instanceof ConnectionError) {
        throw ended;
      }
      if (isUnsent(error)) throw error;
      throw channelError(action, describe(error));
    }
  }

  #check(options: CallOptions | undefined, action: () => string): void {
    if (this.#endError !== undefined) {
      throw this.#endError instanceof ClosedError
        ? new ClosedError(`Cannot ${action()}: the channel is closed`)
        : new ChannelError(
          `Cannot ${action()}: the channel has ended (${this.#endError.message})`,
          {
            code: "channel-closed",
            outcome: "not-sent",
            cause: this.#endError,
          },
        );
    }
    this.#context.limits.check(options, action);
  }

  #refuse(options: SettleOptions | undefined): unknown {
    if (this.#endError === undefined) {
      return this.#context.limits.refusal(options, "settle a delivery");
    }
    return new SettlementError(
      "Cannot settle a delivery: its channel has ended, and it is delivered again",
      { code: "message-settled", cause: this.#endError },
    );
  }
}
