import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { SettlementError } from "../../model/errors.ts";
import type { DeliveryTag } from "../../model/message.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { RejectOptions } from "../transport.ts";
import type { Copies } from "./copies.ts";
import type { Delays } from "./delays.ts";
import type { Deliveries } from "./deliveries.ts";
import type { AmqpDelivery } from "./delivery.ts";
import { type QueueRetry, retryOf } from "./queue_retry.ts";
import type { Server } from "./server.ts";
import type { AmqpClientChannel } from "./port.ts";

/** How often a quorum queue delivers a message again that was told nothing else: RabbitMQ's default since 4.0. */
const DEFAULT_LIMIT = 20;

/** How long a channel waits for that before it is closed, ms: a broker that is short of memory takes no copies. */
const CLOSING = 2000;

/** The services that returning a message uses of its connection. */
export interface ReturnsHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly delays: Delays;
  readonly copies: Copies;
  server(): Server;
}

/**
 * Gives deliveries back. A quorum queue counts how often a message came back
 * (`x-delivery-count`), whether or not a handler has seen it, and dead-letters or drops it
 * beyond its `x-delivery-limit`. A message that has used up half of it goes back as a copy,
 * of which the broker has counted nothing: at the end of its queue, and not away.
 */
export class Returns {
  readonly #host: ReturnsHost;
  /** The `x-delivery-limit` that queues were declared with. */
  readonly #limits = new Map<string, number>();
  readonly #retries = new Map<string, QueueRetry>();

  /** Makes one that knows no queue's limit. */
  constructor(host: ReturnsHost) {
    this.#host = host;
  }

  /** Notes what a queue's declaration says of that. */
  note({ name, arguments: declared }: QueueDeclaration): void {
    const limit = declared["x-delivery-limit"];
    if (typeof limit === "number") this.#limits.set(name, limit);
    else this.#limits.delete(name);
    const retry = this.#host.server().hasDelayedRetry
      ? retryOf(declared, DEFAULT_LIMIT)
      : undefined;
    if (retry === undefined) this.#retries.delete(name);
    else this.#retries.set(name, retry);
  }

  /** How a queue waits by itself before it hands out again what a handler failed for, where it is known to. */
  retryOf(queue: string): QueueRetry | undefined {
    return this.#retries.get(queue);
  }

  /** Rejects one: away, or back; with a delay or headers as a copy. */
  reject(
    tag: DeliveryTag,
    deliveries: Deliveries,
    options: RejectOptions,
  ): Promise<void> {
    const { requeue, multiple, delay, headers } = options;
    if (requeue && !multiple && delay === undefined && headers === undefined) {
      const delivery = deliveries.at(tag);
      if (delivery !== undefined && this.#isNear(delivery)) {
        return this.#anew(delivery, deliveries, options);
      }
    }
    return deliveries.reject(tag, options, (each) => this.#copy(each, options));
  }

  /**
   * Gives back the messages that must not go back by themselves with their channel, if there are any.
   * Never rejects.
   *
   * @param deliveries The unsettled deliveries.
   * @param client The client's channel.
   * @param consumers Its consumers, which are cancelled: returned messages must not come again.
   * @returns A promise if there is.
   */
  beforeClose(
    deliveries: Deliveries,
    client: AmqpClientChannel,
    consumers: readonly string[],
  ): Promise<void> | undefined {
    // Those that a queue would let wait, as failed, if their channel gave them back.
    const near = [...deliveries.held()].filter((each) =>
      each.countsFailures || this.#isNear(each)
    );
    if (near.length === 0) return undefined;
    const { clock, limits } = this.#host;
    const call = { deadline: clock.now() + CLOSING };
    const giveBack = async () => {
      for (const each of consumers) await client.cancel(each);
      await Promise.all(
        near.map((each) =>
          this.#isNear(each)
            ? this.#anew(each, deliveries, call)
            : deliveries.reject(each.deliveryTag, { requeue: true, ...call })
        ),
      );
    };
    return limits.wait(giveBack(), call, () => new Error("late"))
      .catch(() => {});
  }

  #isNear(delivery: AmqpDelivery): boolean {
    const limit = this.#limits.get(delivery.queue) ?? DEFAULT_LIMIT;
    if (limit < 0) return false;
    if (limit > 0) {
      if (!delivery.redelivered) return false;
      if ((delivery.deliveryCount ?? 0) < Math.ceil(limit / 2)) return false;
    }
    return delivery.malformed === undefined; // what cannot be read cannot be written
  }

  async #anew(
    { deliveryTag: tag }: AmqpDelivery,
    deliveries: Deliveries,
    call: CallOptions,
  ): Promise<void> {
    const { signal, deadline } = call;
    const options = { requeue: true, signal, deadline };
    try {
      await deliveries.replace(tag, (each) => this.#copy(each, options));
    } catch (error) {
      if (error instanceof SettlementError || signal?.aborted) throw error;
      // If publishing there is not permitted, or not possible now, the broker counts the
      // return.
      await deliveries.reject(tag, options);
    }
  }

  #copy(delivery: AmqpDelivery, options: RejectOptions): Promise<void> {
    const { copies, delays } = this.#host;
    return delays.copy(delivery, options, copies.publish);
  }
}
