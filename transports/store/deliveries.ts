import type { CallOptions } from "../../model/call_options.ts";
import { SettlementError, UnsupportedError } from "../../model/errors.ts";
import type { Delivery, DeliveryTag } from "../../model/message.ts";
import type { RejectOptions, SettleOptions } from "../transport.ts";
import type { DeadLetters } from "./dead_letters.ts";
import { isMalformed } from "./quarantine.ts";
import { leaseLost, Settler } from "./settler.ts";
import type { Ripener } from "./ripener.ts";
import type { Reservation, Store } from "./store.ts";
import type { StoreSubscription } from "./subscription.ts";
import { Window } from "./window.ts";

/** Lost deliveries that are remembered; beyond that they are forgotten. */
const MOST_LOST = 1000;

/** How a reservation was delivered. */
export interface Holding {
  /** It is settled already. */
  readonly noAck: boolean;
  readonly onLost: ((tags: readonly DeliveryTag[]) => void) | undefined;
  /** Whose prefetch it counts against; of `get`, nobody's. */
  readonly subscription?: StoreSubscription | undefined;
}

interface Held extends Holding {
  readonly reservation: Reservation;
}

/** The deliveries of a channel: names them, and settles them by name. */
export class Deliveries {
  readonly #store: Store;
  readonly #deadLetters: DeadLetters;
  readonly #ripener: Ripener;
  readonly #remover: Settler;
  readonly #releaser: Settler;
  readonly #window = new Window<Held>();
  /** What was lost, by tag: whoever settles it is told so, once. */
  readonly #lost = new Map<DeliveryTag, Reservation>();

  /** Makes an empty window over a store. */
  constructor(store: Store, deadLetters: DeadLetters, ripener: Ripener) {
    this.#store = store;
    this.#deadLetters = deadLetters;
    this.#ripener = ripener;
    this.#remover = new Settler(store, "remove");
    this.#releaser = new Settler(store, "release");
  }

  /** Names a reservation, and makes a delivery of it. */
  add(reservation: Reservation, holding: Holding): Delivery {
    const { noAck, onLost, subscription } = holding;
    const tag = this.#window.add({ reservation, noAck, onLost, subscription });
    if (noAck) this.#window.take(tag);
    return deliveryOf(reservation, tag);
  }

  /** Settles: done. */
  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void> {
    if (options?.signal?.aborted) return Promise.reject(options.signal.reason);
    if (options?.multiple) {
      return this.#all(tag, (held) => this.#ack(held, options));
    }
    const held = this.#window.take(tag);
    if (held === undefined) return Promise.reject(this.#notHeld(tag));
    return this.#ack(held, options);
  }

  /** Settles: back to the queue, or away. */
  reject(tag: DeliveryTag, options: RejectOptions): Promise<void> {
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    const refused = this.#refuse(options);
    if (refused !== undefined) return Promise.reject(refused);
    if (options.multiple) {
      return this.#all(tag, (held) => this.#reject(held, options));
    }
    const held = this.#window.take(tag);
    if (held === undefined) return Promise.reject(this.#notHeld(tag));
    return this.#reject(held, options);
  }

  /** Takes out everything that is unsettled. */
  clear(): Reservation[] {
    return this.#window.clear().map(({ reservation }) => reservation);
  }

  /** Lists what is unsettled, to be renewed. */
  held(): Reservation[] {
    return [...this.#window.entries()].map(([, { reservation }]) =>
      reservation
    );
  }

  /** Forgets those that are no longer ours, and tells whoever was given them. */
  lose(lost: ReadonlySet<Reservation>): void {
    const mine = [...this.#window.entries()].filter(([, { reservation }]) =>
      lost.has(reservation)
    );
    for (const [tag, held] of mine) {
      this.#window.take(tag);
      if (this.#lost.size >= MOST_LOST) this.#lost.clear();
      this.#lost.set(tag, held.reservation);
      held.subscription?.free(1);
      held.onLost?.([tag]);
    }
  }

  #notHeld(tag: DeliveryTag): SettlementError {
    const lost = this.#lost.get(tag);
    if (lost === undefined) return settledBefore(tag);
    this.#lost.delete(tag);
    return leaseLost(lost);
  }

  async #all(
    tag: DeliveryTag,
    settle: (held: Held) => Promise<void>,
  ): Promise<void> {
    const taken = this.#window.takeUpTo(tag);
    if (taken.length === 0) throw settledBefore(tag);
    await Promise.all(taken.map(settle));
  }

  #refuse(options: RejectOptions): Error | undefined {
    const { requeue, delay, headers } = options;
    if (!requeue && (delay !== undefined || headers !== undefined)) {
      return new TypeError(
        "Cannot reject a message with a delay or headers: they are for messages that are requeued",
      );
    }
    if (delay !== undefined && !this.#store.capabilities.has("delay")) {
      return new UnsupportedError(
        'Cannot requeue a message with a delay: this broker lacks the capability "delay"',
      );
    }
    return undefined;
  }

  #ack(held: Held, options?: SettleOptions): Promise<void> {
    return this.#remover.settle(held.reservation, held.subscription, options);
  }

  #reject(held: Held, options: RejectOptions): Promise<void> {
    const { reservation, subscription } = held;
    const { requeue, delay, headers } = options;
    if (requeue && delay === undefined && headers === undefined) {
      return this.#releaser.settle(reservation, subscription, options);
    }
    const settling = requeue
      ? this.#replace(reservation, options)
      : this.#deadLetters.move(reservation, "rejected", options);
    subscription?.free(1);
    return settling;
  }

  /** Puts another copy in the same queue in its place. */
  async #replace(
    reservation: Reservation,
    options: RejectOptions,
  ): Promise<void> {
    const { message, queue } = reservation;
    if (isMalformed(message)) {
      return await this.#releaser.settle(reservation, undefined, options);
    }
    if (reservation.keepsPlace) {
      const { signal, deadline, delay } = options;
      const lost = await this.#store.release(
        [reservation],
        { signal, deadline, delay },
      );
      if (lost.length > 0) throw leaseLost(reservation);
      return;
    }
    const properties = options.headers === undefined
      ? message.properties
      : { ...message.properties, headers: options.headers };
    const result = await this.#store.put([{
      queue,
      message: { ...message, properties, delay: options.delay ?? 0 },
      ttl: properties.expiration,
    }], putLimits(options, reservation));
    this.#ripener.notePut([{ queue }], options.delay ?? 0);
    if (result.type === "lost") throw leaseLost(reservation);
    if (result.type === "put") {
      await this.#deadLetters.moveAll(result.displaced, "maxlen");
    } else await this.#releaser.settle(reservation, undefined, options);
  }
}

function putLimits(
  { signal, deadline }: CallOptions,
  instead: Reservation,
): CallOptions & { instead: Reservation } {
  return { signal, deadline, instead };
}

function deliveryOf(reservation: Reservation, tag: DeliveryTag): Delivery {
  const { message, queue, redelivered, deliveryCount } = reservation;
  if (isMalformed(message)) {
    return {
      deliveryTag: tag,
      queue,
      exchange: "",
      routingKey: queue,
      redelivered,
      deliveryCount,
      properties: {},
      body: message.body,
      malformed: message.error,
    };
  }
  return {
    deliveryTag: tag,
    queue,
    exchange: message.exchange,
    routingKey: message.routingKey,
    redelivered,
    deliveryCount,
    properties: message.properties,
    body: message.body,
  };
}

function settledBefore(tag: DeliveryTag): SettlementError {
  return new SettlementError(
    `Cannot settle delivery ${tag}: it was settled before, or is of another channel`,
    { code: "message-settled" },
  );
}
