import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import {
  EncodeError,
  SettlementError,
  UnsupportedError,
} from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import {
  type Delivery,
  type DeliveryTag,
  deliveryTag,
} from "../../model/message.ts";
import type {
  Parked,
  ParkOptions,
  RejectOptions,
  SettleOptions,
} from "../transport.ts";
import type { DeadLetters } from "./dead_letters.ts";
import { deliveryOf } from "./delivery_of.ts";
import type { Parking } from "./parking.ts";
import { isMalformed } from "./quarantine.ts";
import { replace } from "./replacing.ts";
import { isDoubted, isLeaseLost, leaseLost } from "./doubted.ts";
import { Settler, type SettlerHost, type Settling } from "./settler.ts";
import { Slab } from "../../model/slab.ts";
import type { ReplyQueues } from "./reply_queues.ts";
import type { Ripener } from "./ripener.ts";
import type { Malformed, Reservation, Store } from "./store.ts";
import type { StoreSubscription } from "./subscription.ts";
import { Window } from "./window.ts";

/** Lost deliveries that are remembered; beyond that they are forgotten. */
const MAX_LOST = 1000;

const NO_TAG = deliveryTag(0);

const SETTLE = "settle a delivery";

/** How a reservation was delivered. */
export interface Holding {
  /** It is settled already. */
  readonly noAck: boolean;
  readonly onLost: ((tags: readonly DeliveryTag[]) => void) | undefined;
  /** The subscription whose prefetch the message counts against; `get` has none. */
  readonly subscription?: StoreSubscription | undefined;
}

/** A delivery that is not settled. */
interface Held extends Settling {
  readonly onLost: ((tags: readonly DeliveryTag[]) => void) | undefined;
  tag: DeliveryTag;
  /** A settlement is on its way: there is to be no other before it has failed. */
  settling: boolean;
  /** When its last settlement failed, on the clock. */
  failedAt: number;
}

/** The services that {@linkcode Deliveries} use of their connection. */
export interface DeliveriesContext {
  readonly store: Store;
  readonly replies?: ReplyQueues | undefined;
  readonly deadLetters: DeadLetters;
  readonly parking: Parking;
  readonly ripener: Ripener;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly operationTimeout: number;
}

/** How long a delivery whose settlement failed is kept for who tries again, where there is no lease, ms. */
const GRACE = 30_000;

/**
 * The deliveries of a channel: names them, and settles them by name. A delivery stays
 * in the window until the store has answered: what failed may be settled again, is
 * renewed meanwhile, and is given back if nobody does so for as long as a lease lasts.
 */
export class Deliveries implements SettlerHost<Held> {
  readonly #context: DeliveriesContext;
  readonly #remover: Settler<Held>;
  readonly #releaser: Settler<Held>;
  readonly #window = new Window<Held>();
  /** Bodies that are handed out: those of one channel may share a buffer, as those of one socket do. */
  readonly #slab = new Slab();
  /** The reservations that were lost, by tag: the first attempt to settle one is told so. */
  readonly #lost = new Map<DeliveryTag, Reservation>();
  /** Messages whose settlement failed, in the order of the failures. */
  readonly #failed = new Set<Held>();
  #stopTimer: (() => void) | undefined;
  /** How many settlements are on their way. */
  #underWay = 0;
  #onIdle: (() => void) | undefined;

  /** Makes an empty window over a store. */
  constructor(context: DeliveriesContext) {
    this.#context = context;
    const { store } = context;
    this.#remover = new Settler(store, "remove", this);
    this.#releaser = new Settler(store, "release", this);
  }

  /** Names a reservation, and makes a delivery of it. */
  add(reservation: Reservation, holding: Holding): Delivery {
    const { noAck, onLost, subscription } = holding;
    const held: Held = {
      reservation,
      onLost,
      subscription,
      tag: NO_TAG,
      settling: false,
      failedAt: 0,
    };
    held.tag = this.#window.add(held);
    if (noAck) this.#window.take(held.tag);
    const delivery = deliveryOf(reservation, held.tag, this.#slab);
    this.#context.replies?.note(delivery.properties.replyTo);
    return delivery;
  }

  /** Settles: done. */
  ack(tag: DeliveryTag, options?: SettleOptions): Promise<void> {
    const late = options?.fresh
      ? undefined
      : this.#context.limits.refusal(options, SETTLE);
    if (late !== undefined) return Promise.reject(late);
    if (options?.multiple) {
      return this.#all(tag, (held) => this.#ack(held, options));
    }
    const held = this.#window.at(tag);
    if (held === undefined || held.settling) {
      return Promise.reject(this.#notHeld(tag));
    }
    return this.#ack(held, options);
  }

  /** Settles: back to the queue, or away. */
  reject(tag: DeliveryTag, options: RejectOptions): Promise<void> {
    const refused = this.#context.limits.refusal(options, SETTLE) ??
      this.#refuse(options);
    if (refused !== undefined) return Promise.reject(refused);
    if (options.multiple) {
      return this.#all(tag, (held) => this.#reject(held, options));
    }
    const held = this.#window.at(tag);
    if (held === undefined || held.settling) {
      return Promise.reject(this.#notHeld(tag));
    }
    return this.#reject(held, options);
  }

  /** Settles: to where what failed for good is found. */
  park(tag: DeliveryTag, options: ParkOptions): Promise<Parked> {
    const late = this.#context.limits.refusal(options, SETTLE);
    if (late !== undefined) return Promise.reject(late);
    const held = this.#window.at(tag);
    if (held === undefined || held.settling) {
      return Promise.reject(this.#notHeld(tag));
    }
    held.settling = true;
    this.#underWay++;
    const { parking } = this.#context;
    return this.#follow(held, parking.park(held.reservation, options));
  }

  /** Resolves when no settlement is on its way. */
  idle(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle = resolve);
  }

  /** Takes out everything that is unsettled. */
  clear(): Reservation[] {
    this.#failed.clear();
    this.#stopTimer?.();
    return this.#window.clear().map(({ reservation }) => reservation);
  }

  /** Lists the unsettled deliveries, to be renewed. */
  held(): Reservation[] {
    return [...this.#window.entries()].map(([, { reservation }]) =>
      reservation
    );
  }

  /** Forgets those that are no longer ours, and notifies their consumers. */
  lose(lost: ReadonlySet<Reservation>): void {
    const mine = [...this.#window.entries()].map(([, held]) => held).filter((
      { reservation, settling },
    ) =>
      // Its settlement tells what became of it, or the next one.
      !settling && lost.has(reservation) && !isDoubted(reservation)
    );
    for (const held of mine) this.#lose(held);
  }

  /** The store has answered. */
  settled(held: Held): void {
    this.#window.take(held.tag);
    if (held.failedAt > 0) this.#failed.delete(held);
    this.#ended();
  }

  /** The settlement failed: the delivery is unsettled again. */
  kept(held: Held): void {
    held.settling = false;
    if (this.#window.at(held.tag) === held) {
      held.subscription?.hold();
      this.#failed.delete(held);
      held.failedAt = this.#context.clock.now();
      this.#failed.add(held);
      this.#arm();
    }
    this.#ended();
  }

  #ended(): void {
    if (--this.#underWay > 0) return;
    this.#onIdle?.();
    this.#onIdle = undefined;
  }

  #lose(held: Held): void {
    const { tag, reservation, subscription, onLost } = held;
    if (this.#window.take(tag) === undefined) return;
    this.#failed.delete(held);
    if (this.#lost.size >= MAX_LOST) this.#lost.clear();
    this.#lost.set(tag, reservation);
    subscription?.free(1);
    onLost?.([tag]);
  }

  /** Sees to it that what nobody settles again goes back. */
  #arm(): void {
    const [first] = this.#failed;
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    if (first === undefined) return;
    const { clock, store } = this.#context;
    const until = first.failedAt + (store.limits.lease ?? GRACE);
    this.#stopTimer = clock.timer(
      () => void this.#letGo(first),
      Math.max(0, until - clock.now()),
    );
  }

  async #letGo(held: Held): Promise<void> {
    const { clock, operationTimeout, store } = this.#context;
    if (!this.#failed.has(held) || held.settling) {
      this.#failed.delete(held);
      return this.#arm();
    }
    held.settling = true;
    this.#underWay++;
    try {
      const deadline = clock.now() + operationTimeout;
      await store.messages.release([held.reservation], { deadline });
      held.settling = false;
      this.#lose(held);
      this.#ended();
      this.#arm();
    } catch {
      held.subscription?.free(1); // `kept` takes it back
      this.kept(held); // and it is tried again
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
    const all: Held[] = [];
    for (const [each, held] of this.#window.entries()) {
      if (each > tag) break;
      if (!held.settling) all.push(held);
    }
    if (all.length === 0) throw settledBefore(tag);
    await Promise.all(all.map(settle));
  }

  #refuse(options: RejectOptions): Error | undefined {
    const { requeue, delay, headers } = options;
    if (!requeue && (delay !== undefined || headers !== undefined)) {
      return new TypeError(
        "Cannot reject a message with a delay or headers: they are for messages that are requeued",
      );
    }
    if (delay !== undefined && !this.#context.store.capabilities.has("delay")) {
      return new UnsupportedError(
        'Cannot requeue a message with a delay: this broker lacks the capability "delay"',
      );
    }
    return undefined;
  }

  #ack(held: Held, options?: SettleOptions): Promise<void> {
    held.settling = true;
    this.#underWay++;
    return this.#remover.settle(held, options);
  }

  #reject(held: Held, options: RejectOptions): Promise<void> {
    const { requeue, delay, headers } = options;
    const { message, queue } = held.reservation;
    const isAsItWas = delay === undefined && headers === undefined;
    if (requeue && !isAsItWas && isMalformed(message)) {
      return Promise.reject(cannotWrite(queue, message));
    }
    held.settling = true;
    this.#underWay++;
    if (requeue && isAsItWas) return this.#releaser.settle(held, options);
    return this.#follow(
      held,
      requeue && !isMalformed(message)
        ? replace(this.#context, held.reservation, message, options)
        : this.#context.deadLetters.move(held.reservation, "rejected", options),
    );
  }

  /** Waits for a settlement that is no matter of a batch. */
  async #follow<R>(held: Held, settling: Promise<R>): Promise<R> {
    held.subscription?.free(1);
    let result: R;
    try {
      result = await settling;
    } catch (error) {
      if (isLeaseLost(error)) this.settled(held);
      else this.kept(held);
      throw error;
    }
    this.settled(held);
    return result;
  }
}

/** If it went back as it was, whoever counts its attempts would never come to an end. */
function cannotWrite(queue: string, { error }: Malformed): EncodeError {
  return new EncodeError(
    `Cannot requeue what lay in queue ${
      quote(queue)
    } with other headers or later: it is no message`,
    { cause: error },
  );
}

function settledBefore(tag: DeliveryTag): SettlementError {
  return new SettlementError(
    `Cannot settle delivery ${tag}: it was settled before, or is of another channel`,
    { code: "message-settled" },
  );
}
