import type { Delivery } from "../../model/message.ts";
import { deliveryTag } from "../../model/message.ts";
import type { Session } from "../connection/session.ts";
import { Consumer } from "../consume/consumer.ts";
import type { Message } from "../consume/message.ts";
import type { Decoding } from "../consume/reading.ts";
import { Queue } from "../entities/queue.ts";
import type { Call } from "../operation_options.ts";
import { declareFirst } from "../publish/declare_first.ts";
import type { SessionPublisher } from "../publish/publisher.ts";

/** How long a queue is kept that no consumer has, where the broker has no exclusive ones, ms. */
const EXPIRES = 60_000;

/** So many answers may be asked for at once, where a broker is asked. */
const AT_ONCE = 100;

/** The services that a {@linkcode ReplyQueue} uses. */
export interface ReplyQueueHost {
  readonly session: Session;
  readonly decoding: Decoding;
  readonly publisher: SessionPublisher;
}

/**
 * The queue that the answers to a connection's requests come by, where the broker has no
 * direct replies. It goes with the connection. Its name is the same over all reconnects:
 * answers that come meanwhile are lost only with the queue.
 */
export class ReplyQueue {
  readonly queue: Queue;
  readonly #host: ReplyQueueHost;
  readonly #consumer: Consumer;
  /** Rejects when answers come no more; never resolves before it is closed. */
  readonly ended: Promise<void>;
  #error: unknown;

  /** Makes one, and consumes from it. On brokers that can end a queue only with its last consumer, it is deleted with that. */
  constructor(host: ReplyQueueHost, deliver: (delivery: Delivery) => void) {
    const { session, decoding, publisher } = host;
    const { capabilities } = session;
    const exclusive = capabilities.has("exclusive");
    this.#host = host;
    this.queue = new Queue(`dashi.reply.${crypto.randomUUID()}`, {
      durable: !exclusive,
      exclusive,
      autoDelete: !exclusive,
      ...(!exclusive && capabilities.has("queue-ttl")
        ? { expires: EXPIRES }
        : {}),
    });
    this.#consumer = new Consumer(
      session,
      { ...decoding, uses: undefined }, // the requester has answers pass them
      [this.queue],
      { autoAck: true, prefetch: 1000 },
      () => {},
      publisher,
    );
    this.ended = this.#consumer.run(
      (message) => deliver(deliveryOf(message)),
      { concurrency: AT_ONCE, retry: false },
    );
    this.ended.catch((error) => this.#error = error);
  }

  /** Sees to it that it is there. */
  async declare(call: Call): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const { session } = this.#host;
    if (session.declarations.has(this.queue)) return;
    await declareFirst(session, [this.queue], { ...call, retry: true });
  }

  /** Ends it. Never rejects. */
  async close(call: Call): Promise<void> {
    const { session } = this.#host;
    const drainTimeout = Math.max(1, call.deadline - session.clock.now());
    await this.#consumer.close({ drainTimeout });
    await this.ended.catch(() => {});
    const { name, exclusive } = this.queue;
    session.declarations.forgetQueue(name);
    try {
      await session.open?.topology.run(
        call,
        (channel) => channel.deleteQueue(name, call),
        { holds: exclusive },
      );
    } catch {
      // It goes with its consumer, or with the connection.
    }
  }
}

function deliveryOf(
  { properties, body, deliveryInfo }: Message<unknown>,
): Delivery {
  const { queue, exchange, routingKey, redelivered } = deliveryInfo;
  return {
    deliveryTag: deliveryTag(1),
    queue,
    exchange,
    routingKey,
    redelivered,
    deliveryCount: undefined,
    properties,
    body,
  };
}
