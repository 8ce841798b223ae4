import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
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
} from "../../transports/transport.ts";
import type { Declarations } from "./declarations.ts";

/** A channel of the user's own: an entity that is deleted by it does not come back with the next connection. */
export class OwnChannel implements Channel {
  readonly closed: Promise<CloseReason>;
  readonly listQuarantined?: NonNullable<Channel["listQuarantined"]>;
  readonly putBack?: NonNullable<Channel["putBack"]>;
  readonly changeDelayed?: NonNullable<Channel["changeDelayed"]>;
  readonly listDelayed?: NonNullable<Channel["listDelayed"]>;
  readonly #channel: Channel;
  readonly #declarations: Declarations;

  /** Makes one over a transport's channel. */
  constructor(channel: Channel, declarations: Declarations) {
    this.closed = channel.closed;
    const { listQuarantined, putBack, changeDelayed, listDelayed } = channel;
    if (listDelayed !== undefined) this.listDelayed = listDelayed.bind(channel);
    if (changeDelayed !== undefined) {
      this.changeDelayed = changeDelayed.bind(channel);
    }
    if (listQuarantined !== undefined) {
      this.listQuarantined = listQuarantined.bind(channel);
    }
    if (putBack !== undefined) this.putBack = putBack.bind(channel);
    this.#channel = channel;
    this.#declarations = declarations;
  }

  declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void> {
    return this.#channel.declareExchange(exchange, options);
  }

  checkExchange(name: string, options?: CallOptions): Promise<void> {
    return this.#channel.checkExchange(name, options);
  }

  async deleteExchange(name: string, options?: DeleteOptions): Promise<void> {
    await this.#channel.deleteExchange(name, options);
    this.#declarations.forgetExchange(name);
  }

  declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    return this.#channel.declareQueue(queue, options);
  }

  checkQueue(name: string, options?: CallOptions): Promise<QueueStatus> {
    return this.#channel.checkQueue(name, options);
  }

  async deleteQueue(
    name: string,
    options?: DeleteQueueOptions,
  ): Promise<number> {
    const count = await this.#channel.deleteQueue(name, options);
    this.#declarations.forgetQueue(name);
    return count;
  }

  purgeQueue(name: string, options?: CallOptions): Promise<number> {
    return this.#channel.purgeQueue(name, options);
  }

  bind(binding: Binding, options?: CallOptions): Promise<void> {
    return this.#channel.bind(binding, options);
  }

  async unbind(binding: Binding, options?: CallOptions): Promise<void> {
    await this.#channel.unbind(binding, options);
    this.#declarations.forgetBinding(binding);
  }

  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome> {
    return this.#channel.publish(message, options);
  }

  get(queue: string, options?: GetOptions): Promise<Delivery | undefined> {
    return this.#channel.get(queue, options);
  }

  consume(
    queue: string,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<Subscription> {
    return this.#channel.consume(queue, deliver, options);
  }

  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void> {
    return this.#channel.ack(tag, options);
  }

  reject(tag: DeliveryTag, options: RejectOptions): Promise<void> {
    return this.#channel.reject(tag, options);
  }

  park(tag: DeliveryTag, options: ParkOptions): Promise<Parked> {
    return this.#channel.park(tag, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel[Symbol.asyncDispose]();
  }
}
