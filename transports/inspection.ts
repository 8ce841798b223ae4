import type { Binding } from "../model/binding.ts";
import type { CallOptions } from "../model/call_options.ts";
import type { ExchangeDeclaration } from "../model/exchange.ts";
import type { Delivery } from "../model/message.ts";
import type { QueueDeclaration } from "../model/queue.ts";

/** How much is in a queue. A number is `undefined` where the broker does not tell it. */
export interface QueueCounts {
  /** How many messages may be delivered now. */
  readonly ready: number | undefined;
  /** How many messages wait for their time. */
  readonly delayed: number | undefined;
  /** How many messages were delivered and are not settled. */
  readonly unacked: number | undefined;
  /** How many consumers there are: on all brokers but RabbitMQ those of this library. */
  readonly consumers: number | undefined;
  /**
   * Seconds that the message whose turn it is has waited: since it was put, where the broker
   * notes that, else since its `timestamp`, if it has one.
   */
  readonly oldestAge: number | undefined;
  /** Bytes of its messages, as the broker counts them: of bodies alone, or of all that it keeps. */
  readonly bytes: number | undefined;
  /** How many messages have come into it since the broker began to count: two looks tell a rate. */
  readonly published?: number | undefined;
  /** How many have left it since then, acked or handed out without acks. */
  readonly consumed?: number | undefined;
}

/** A queue, as the broker tells of it at this moment. */
export interface QueueInfo extends QueueCounts {
  /** Its name. */
  readonly name: string;
  /** How it was declared; `undefined` where the broker does not keep that, or another program made it. */
  readonly declaration: QueueDeclaration | undefined;
}

/** A message that was looked at, and is still in its queue. */
export type Peeked = Omit<Delivery, "deliveryTag">;

/**
 * Looks into a broker, and changes nothing: with the capability `inspect`. It tells of all
 * queues of the broker, of its virtual host or its database; of exchanges and bindings
 * with the capability `shared-topology` of all, too, and else of those that the connection
 * has declared. The predeclared `amq.…` exchanges are among them, the default exchange is not.
 */
export interface Inspection {
  /**
   * Lists the queues, page by page and in no order. One that is declared or deleted
   * meanwhile may be among them or not, and none is twice.
   *
   * @param limits Called for the limits of each request.
   */
  queues(limits: () => CallOptions): AsyncIterable<readonly QueueInfo[]>;
  /** Looks at one queue. Rejects with `NotFoundError` if it is not there, and the broker knows. */
  queue(name: string, options?: CallOptions): Promise<QueueInfo>;
  /** Lists the exchanges. The type of one that another program declared may be guessed. */
  exchanges(options?: CallOptions): Promise<readonly ExchangeDeclaration[]>;
  /** Lists the bindings, but those to the default exchange. */
  bindings(options?: CallOptions): Promise<readonly Binding[]>;
  /**
   * Looks at the ready messages of a queue whose turn comes first, without taking them.
   * Where the broker has no such thing it is absent, or `undefined` for so many: then they
   * are taken and given back.
   *
   * @param queue The queue's name.
   * @param max The maximum number of messages.
   * @param options The call's limits.
   */
  peek?(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly Peeked[] | undefined>;
}
