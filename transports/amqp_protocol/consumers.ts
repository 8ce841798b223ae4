import { ChannelError } from "../../model/errors.ts";
import type { Delivery } from "../../model/message.ts";
import type { ConsumeOptions, EndReason, Subscription } from "../transport.ts";
import type { Calls } from "./calls.ts";
import type { ChannelContext } from "./context.ts";
import type { Deliveries } from "./deliveries.ts";
import { AmqpDelivery, OFFSET } from "./delivery.ts";
import { DIRECT_REPLY_TO } from "./direct_reply.ts";
import { consumePartitions } from "./ordered_consumer.ts";
import type { AmqpClientChannel, RawMessage } from "./port.ts";
import { AmqpSubscription } from "./subscription.ts";

/** The parts of a channel that take messages. */
export interface TakingHost {
  readonly context: ChannelContext;
  readonly client: AmqpClientChannel;
  readonly calls: Calls;
  readonly deliveries: Deliveries;
}

/** The consumers on a channel. */
export class Consumers {
  readonly #host: TakingHost;
  readonly #running = new Set<AmqpSubscription>();

  /** Makes those of a channel: none. */
  constructor(host: TakingHost) {
    this.#host = host;
  }

  /** Their names, as the broker knows them. */
  get tags(): readonly string[] {
    return [...this.#running].flatMap(({ tags }) => tags);
  }

  /** Ends all. */
  end(reason: EndReason): void {
    for (const each of this.#running) each.end(reason);
    this.#running.clear();
  }

  /** Begins one. */
  async consume(
    queue: string,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<Subscription> {
    const { context, client, deliveries, calls: { call } } = this.#host;
    const { heartbeat, ordered, lastHeard } = context;
    const partitioned = ordered.get(queue);
    const subscription = new AmqpSubscription(
      {
        queue,
        prefetch: options.prefetch,
        consumerTag: options.consumerTag ?? `ctag-${crypto.randomUUID()}`,
        // Without heartbeats the broker may be silent for as long as it likes.
        heardEvery: heartbeat === 0 ? Infinity : heartbeat,
        partitions: partitioned?.partitions.length,
      },
      lastHeard,
      (ending) => this.#cancel(ending),
    );
    if (partitioned === undefined) {
      await this.#consume(subscription, deliver, options)
        .catch(async (error) => {
          throw await ordered.explain(queue, error);
        });
    } else {
      await consumePartitions(partitioned, subscription, deliver, options, {
        client,
        deliveries,
        call,
      });
    }
    const { endError } = this.#host.calls;
    if (endError !== undefined) throw endError;
    this.#running.add(subscription);
    return subscription;
  }

  #consume(
    subscription: AmqpSubscription,
    deliver: (delivery: Delivery) => void,
    options: ConsumeOptions,
  ): Promise<void> {
    const { context, client, deliveries, calls } = this.#host;
    const { returns, streams } = context;
    const { queue, consumerTag, prefetch } = subscription;
    const { noAck = false, exclusive = false } = options;
    const origin = {
      retry: returns.retryOf(queue),
      mayBeOfStream: streams.get(queue) === true ||
        options.arguments?.[OFFSET] !== undefined,
    };
    const onMessage = (message: RawMessage | undefined) => {
      if (message === undefined) return this.#endedByBroker(subscription);
      const delivery = new AmqpDelivery(queue, message, subscription, origin);
      if (queue === DIRECT_REPLY_TO) return deliver(delivery);
      if (subscription.running) {
        deliveries.add(delivery, noAck);
        deliver(delivery);
      } else if (noAck) deliveries.add(delivery, true);
      else deliveries.giveBack(delivery);
    };
    return calls.call(
      `consume from queue "${queue}"`,
      options,
      () =>
        client.consume(queue, onMessage, {
          consumerTag,
          prefetch,
          noAck,
          exclusive,
          arguments: options.arguments ?? {},
        }),
    );
  }

  async #cancel(subscription: AmqpSubscription): Promise<void> {
    this.#running.delete(subscription);
    const { context, client, deliveries, calls } = this.#host;
    const { clock, operationTimeout } = context;
    for (const tag of subscription.tags) {
      await calls.call(
        `cancel consumer "${subscription.consumerTag}"`,
        { deadline: clock.now() + operationTimeout },
        () => client.cancel(tag),
      );
    }
    for (const tag of subscription.late.splice(0)) {
      void deliveries.reject(tag, { requeue: true });
    }
  }

  #endedByBroker(subscription: AmqpSubscription): void {
    this.#running.delete(subscription);
    subscription.end({
      type: "ended-by-broker",
      error: new ChannelError(
        `Consumer of queue "${subscription.queue}" ended: the broker cancelled it, for the queue was deleted or has moved`,
        { code: "consumer-cancelled" },
      ),
    });
  }
}
