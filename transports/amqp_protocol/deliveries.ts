import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import { atNextTurn } from "../../async/turn.ts";
import { SettlementError, TimeoutError } from "../../model/errors.ts";
import { type DeliveryTag, deliveryTag } from "../../model/message.ts";
import { Window } from "../store/window.ts";
import type { RejectOptions } from "../transport.ts";
import type { AmqpDelivery } from "./delivery.ts";
import type { AmqpClientChannel } from "./port.ts";
import type { Server } from "./server.ts";

/** Stands for a delivery of which the broker's next one tells that it is on its way. */
const COMING = "coming";

interface Batch {
  readonly tags: number[];
  readonly sent: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The limits on the time until a settlement has left the process, and whom it is for. */
interface Bounds {
  server(): Server;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly operationTimeout: number;
}

/**
 * The unsettled deliveries of a channel. Acks of one turn of the event loop leave
 * together: all that are settled from the oldest on in one frame. Settling is done when
 * that has left the process.
 */
export class Deliveries {
  readonly #client: AmqpClientChannel;
  readonly #window = new Window<AmqpDelivery | typeof COMING>();
  #batch: Batch | undefined;

  readonly #bounds: Bounds;

  /** Makes an empty window over a channel. */
  constructor(client: AmqpClientChannel, bounds: Bounds) {
    this.#client = client;
    this.#bounds = bounds;
  }

  /** Adds a delivery under the broker's tag. */
  add(delivery: AmqpDelivery, noAck: boolean): void {
    const { deliveryTag: tag } = delivery;
    const window = this.#window;
    // The answer to `get` is handled a moment later than deliveries that were pushed behind
    // it.
    while (window.next < tag) window.add(COMING);
    if (window.next === tag) window.add(delivery);
    else window.replace(tag, delivery);
    if (noAck) window.take(tag);
  }

  /** Gives back a delivery that came too late. */
  giveBack(delivery: AmqpDelivery): void {
    this.add(delivery, true);
    this.#client.reject(delivery.deliveryTag, true);
  }

  /** Acks with the next batch; the promise is shared by all of it. */
  ack(tag: DeliveryTag, multiple: boolean): Promise<void> {
    if (multiple) return this.#ackUpTo(tag);
    const delivery = this.#take(tag);
    if (delivery === undefined) return Promise.reject(settledBefore(tag));
    const batch = this.#batch ?? this.#open();
    batch.tags.push(tag);
    if (batch.tags.length * 4 >= delivery.holder.prefetch) this.flush();
    return batch.sent;
  }

  /**
   * Settles by publishing a copy first, and acks then. If that fails the delivery
   * stays unsettled. It stays in the window meanwhile: acks of others must not go past it.
   */
  async replace(
    tag: DeliveryTag,
    publish: (delivery: AmqpDelivery) => Promise<void>,
  ): Promise<void> {
    const delivery = this.at(tag);
    if (delivery === undefined || delivery.copying) throw settledBefore(tag);
    delivery.copying = true;
    try {
      await publish(delivery);
    } catch (error) {
      if (this.#window.at(tag) === undefined) throw lostBefore(error);
      throw error;
    } finally {
      delivery.copying = false;
    }
    if (this.#window.at(tag) === undefined) throw lostBefore(undefined);
    await this.ack(tag, false);
  }

  /**
   * Rejects at once; earlier acks leave before. With a delay or headers it is
   * `publish` that brings it back.
   */
  reject(
    tag: DeliveryTag,
    options: RejectOptions,
    publish?: (delivery: AmqpDelivery) => Promise<void>,
  ): Promise<void> {
    const { requeue, multiple = false, delay, headers, failed } = options;
    if (delay !== undefined || headers !== undefined) {
      if (requeue && !multiple && publish !== undefined) {
        return this.replace(tag, publish);
      }
      return Promise.reject(
        new TypeError(
          "Cannot reject a message with a delay or headers: they are for one message that is requeued",
        ),
      );
    }
    const taken = multiple ? this.#takeUpTo(tag) : this.#takeOne(tag);
    if (taken.length === 0) return Promise.reject(settledBefore(tag));
    this.flush();
    const { requeuesRejected } = this.#bounds.server();
    for (const { deliveryTag: each, isOfStream } of taken) {
      // RabbitMQ 3.10 ends the connection for any other answer to a message of a stream; of
      // these all say no more than that the next ones may come.
      const isAcked = isOfStream || (!requeue && requeuesRejected);
      if (isAcked) this.#client.ack(each, false);
      else if (failed) this.#client.fail(each);
      else this.#client.reject(each, requeue);
    }
    const { promise, resolve, reject } = unattended();
    this.#whenLeft(resolve, reject);
    return promise;
  }

  /** Looks at one that is unsettled. */
  at(tag: DeliveryTag): AmqpDelivery | undefined {
    const held = this.#window.at(tag);
    return held === COMING ? undefined : held;
  }

  /** Goes through the unsettled deliveries. */
  *held(): Iterable<AmqpDelivery> {
    for (const [, held] of this.#window.entries()) {
      if (held !== COMING) yield held;
    }
  }

  /** Sends the acks that wait. */
  flush(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    try {
      this.#send(batch.tags);
      this.#whenLeft(batch.resolve, batch.reject);
    } catch (cause) {
      batch.reject(lostBefore(cause));
    }
  }

  /** The channel has ended: nothing can be settled any more. */
  lose(cause: unknown): void {
    this.#window.clear();
    const batch = this.#batch;
    this.#batch = undefined;
    batch?.reject(lostBefore(cause));
  }

  /** Resolves when earlier settlements have left the process; rejects if they cannot in time. */
  #whenLeft(left: () => void, failed: (error: Error) => void): void {
    const { clock, limits, operationTimeout } = this.#bounds;
    const deadline = limits.watchDeadline(
      clock.now() + operationTimeout,
      () =>
        failed(
          new TimeoutError(
            "Cannot settle a delivery in time: the broker does not read from the connection",
            { outcome: "unknown" },
          ),
        ),
    );
    this.#client.left((error) => {
      deadline.cancel();
      if (error === undefined) left();
      else failed(lostBefore(error));
    });
  }

  #ackUpTo(tag: DeliveryTag): Promise<void> {
    const taken = this.#takeUpTo(tag);
    if (taken.length === 0) return Promise.reject(settledBefore(tag));
    const batch = this.#batch ?? this.#open();
    for (const { deliveryTag: each } of taken) batch.tags.push(each);
    return batch.sent;
  }

  #take(tag: DeliveryTag): AmqpDelivery | undefined {
    const delivery = this.at(tag);
    if (delivery === undefined || delivery.copying) return undefined;
    this.#window.take(tag);
    return delivery;
  }

  #takeOne(tag: DeliveryTag): readonly AmqpDelivery[] {
    const delivery = this.#take(tag);
    return delivery === undefined ? [] : [delivery];
  }

  #takeUpTo(tag: DeliveryTag): readonly AmqpDelivery[] {
    const taken: AmqpDelivery[] = [];
    for (let each = this.#window.oldest; each <= tag; each++) {
      const delivery = this.#take(deliveryTag(each));
      if (delivery !== undefined) taken.push(delivery);
    }
    return taken;
  }

  #send(tags: readonly number[]): void {
    const { oldest } = this.#window;
    // All that is older than the oldest unsettled one is in this batch, or was
    // settled before: the newest of it stands for all.
    let newest = 0;
    for (const tag of tags) {
      if (tag < oldest && tag > newest) newest = tag;
    }
    if (newest > 0) this.#client.ack(newest, true);
    for (const tag of tags) {
      if (tag > oldest) this.#client.ack(tag, false);
    }
  }

  #open(): Batch {
    const { promise, resolve, reject } = unattended();
    const batch: Batch = { tags: [], sent: promise, resolve, reject };
    this.#batch = batch;
    atNextTurn(() => {
      if (this.#batch === batch) this.flush();
    });
    return batch;
  }
}

/** A caller that does not await a settlement gets no unhandled rejection: the message is delivered again. */
function unattended(): PromiseWithResolvers<void> {
  const settling = Promise.withResolvers<void>();
  settling.promise.catch(() => {});
  return settling;
}

function settledBefore(tag: DeliveryTag): SettlementError {
  return new SettlementError(
    `Cannot settle delivery ${tag}: it was settled before, or is of another channel, or its channel has ended`,
    { code: "message-settled" },
  );
}

function lostBefore(cause: unknown): SettlementError {
  return new SettlementError(
    "Cannot settle a delivery: its channel was lost, and it is delivered again",
    { code: "lease-lost", cause },
  );
}
