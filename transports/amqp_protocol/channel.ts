import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { ChannelError, TimeoutError } from "../../model/errors.ts";
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
import { Calls } from "./calls.ts";
import { Consumers } from "./consumers.ts";
import type { ChannelContext } from "./context.ts";
import type { Publish } from "./delays.ts";
import { Deliveries } from "./deliveries.ts";
import { channelEnded, channelError, closedChannel } from "./errors.ts";
import { type Failure, SILENT } from "./failure.ts";
import { Getter } from "./getter.ts";
import { OrderedPublishes } from "./ordered_publishes.ts";
import { OrderedTopology } from "./ordered_topology.ts";
import type { AmqpClientChannel, RawMessage } from "./port.ts";
import { describePublish, Publishes } from "./publishes.ts";
import { refuseMessage } from "./refusals.ts";
import type { RemovalVerbs } from "./removals.ts";
import type { Server } from "./server.ts";

/** AMQP's verbs over the client's channel. */
export class AmqpChannel implements Channel {
  readonly closed: Promise<CloseReason>;
  readonly #context: ChannelContext;
  readonly #client: AmqpClientChannel;
  readonly #calls: Calls;
  readonly #server: Server;
  readonly #topology: OrderedTopology;
  readonly #publishes: Publishes;
  readonly #ordered: OrderedPublishes;
  readonly #deliveries: Deliveries;
  readonly #consumers: Consumers;
  readonly #getter: Getter;
  readonly #isSuperseded: () => boolean;
  #closing: Promise<void> | undefined;

  /** Made by the connection over an open channel of the client's. */
  constructor(
    context: ChannelContext,
    client: AmqpClientChannel,
    isSuperseded: () => boolean,
  ) {
    const deliveries = this.#deliveries = new Deliveries(client, context);
    const calls = this.#calls = new Calls({
      limits: context.limits,
      flush: () => deliveries.flush(),
      onLate: (error) => this.#giveUp(error),
    });
    this.closed = calls.closed;
    this.#context = context;
    this.#client = client;
    this.#isSuperseded = isSuperseded;
    const server = this.#server = context.server();
    this.#topology = new OrderedTopology(
      client,
      calls.call,
      server,
      context.ordered,
    );
    const taking = { context, client, calls, deliveries };
    this.#consumers = new Consumers(taking);
    this.#getter = new Getter(taking);
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
    return this.#remove(
      `delete exchange "${name}"`,
      undefined,
      options,
      (verbs, call) => verbs.deleteExchange(name, call),
    );
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
    const count = await this.#remove(
      `delete queue "${name}"`,
      0,
      options,
      (verbs, call) => verbs.deleteQueue(name, call),
    );
    this.#context.streams.forget(name);
    return count;
  }

  async purgeQueue(name: string, options?: CallOptions): Promise<number> {
    const action = `purge queue "${name}"`;
    const looking = this.#getter.refuseStream(action, name, options);
    if (looking !== undefined) await looking;
    return await this.#topology.purgeQueue(name, options);
  }

  bind(binding: Binding, options?: CallOptions): Promise<void> {
    return this.#topology.bind(binding, options);
  }

  unbind(binding: Binding, options?: CallOptions): Promise<void> {
    const { source, destination: { kind, name } } = binding;
    return this.#remove(
      `unbind ${kind} "${name}" from exchange "${source}"`,
      undefined,
      options,
      (verbs, call) => verbs.unbind(binding, call),
    );
  }

  #remove<T, O extends CallOptions>(
    action: string,
    nothing: T,
    options: O | undefined,
    remove: (verbs: RemovalVerbs, call?: O) => Promise<T>,
  ): Promise<T> {
    const { removals } = this.#context;
    return removals.isFor(options)
      ? this.#calls.call(
        action,
        options,
        () => removals.run(nothing, options, remove),
      )
      : remove(this.#topology, options);
  }

  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome> {
    try {
      if (options?.fresh !== true || this.#calls.endError !== undefined) {
        this.#refuseLate(message, options);
      }
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

  /** Apart, for a function that makes functions costs more even where it makes none. */
  #refuseLate(message: Publishing, options: CallOptions | undefined): void {
    this.#calls.check(options, () => describePublish(message));
  }

  get(queue: string, options?: GetOptions): Promise<Delivery | undefined> {
    return this.#getter.get(queue, options);
  }

  getMany(
    queue: string,
    max: number,
    options?: GetOptions,
  ): Promise<readonly Delivery[]> {
    return this.#getter.getMany(queue, max, options);
  }

  consume(
    queue: string,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<Subscription> {
    return this.#consumers.consume(queue, deliver, options);
  }

  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void> {
    const refused = this.#calls.refuseSettling(options);
    if (refused !== undefined) return Promise.reject(refused);
    return this.#deliveries.ack(tag, options?.multiple ?? false);
  }

  reject(tag: DeliveryTag, options: RejectOptions): Promise<void> {
    const refused = this.#calls.refuseSettling(options);
    if (refused !== undefined) return Promise.reject(refused);
    return this.#context.returns.reject(tag, this.#deliveries, options);
  }

  park(tag: DeliveryTag, options: ParkOptions): Promise<Parked> {
    const refused = this.#calls.refuseSettling(options);
    if (refused !== undefined) return Promise.reject(refused);
    return this.#context.parking.park(tag, this.#deliveries, options);
  }

  /** Ends it: the client's channel is gone. `failure` is why, unless we closed it. */
  lose(failure: Failure | undefined, connectionLost?: Error): void {
    if (this.#calls.endError !== undefined) return;
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

  async #close(): Promise<void> {
    if (this.#calls.endError !== undefined) return;
    const returning = this.#context.returns
      .beforeClose(this.#deliveries, this.#client, this.#consumers.tags);
    if (returning !== undefined) await returning;
    if (this.#calls.endError !== undefined) return;
    this.#consumers.end({ type: "cancelled" });
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

  /** The broker owes an answer: nothing on this channel is sure any more. */
  #giveUp(error: TimeoutError | ChannelError): void {
    if (this.#calls.endError !== undefined) return;
    const pending = channelEnded(error.message, error);
    this.#end(pending, { type: "lost", error }, undefined);
    this.#client.close().catch(() => {});
  }

  #end(
    pending: Error,
    reason: CloseReason,
    failure: Failure | undefined,
  ): void {
    this.#calls.end(pending);
    this.#publishes.lose(failure, pending);
    this.#deliveries.lose(pending);
    this.#consumers.end({ type: "lost", error: pending });
    this.#calls.tell(pending, reason);
  }
}
