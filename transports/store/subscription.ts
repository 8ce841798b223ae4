import type { Clock } from "../../async/clock.ts";
import type { EndReason, Subscription } from "../transport.ts";
import type { Reservation } from "./store.ts";

/** The channel's side of its subscriptions. */
export interface SubscriptionHost {
  /** Names a reservation and hands it to the user. */
  deliver(subscription: StoreSubscription, reservation: Reservation): void;
  /** There is room again. */
  wake(subscription: StoreSubscription): void;
  /** Ends it on the broker's side. */
  cancel(subscription: StoreSubscription): Promise<void>;
}

/** The settings that a consumer was started with. */
export interface SubscriptionSettings {
  readonly queue: string;
  readonly consumerTag: string;
  readonly prefetch: number;
  readonly noAck: boolean;
  /** How many more it would begin with at once. */
  readonly wanted?: (() => number) | undefined;
  /** Whether no more than that is to be fetched. */
  readonly fetchesOnDemand: boolean;
}

/** Less than this part of its prefetch is fetched only if a handler would begin with it at once. */
const PART = 4;

/** A consumer of one queue, and how much it may still be given. */
export class StoreSubscription implements Subscription {
  readonly queue: string;
  readonly consumerTag: string;
  readonly noAck: boolean;
  readonly heardEvery: number;
  readonly ended: Promise<EndReason>;
  readonly taken: ((count: number) => void) | undefined;
  readonly wake: (() => void) | undefined;
  /** How many more may be delivered. */
  room: number;
  readonly #clock: Clock;
  readonly #wanted: (() => number) | undefined;
  readonly #fetchesOnDemand: boolean;
  /** So many are fetched together, where nobody waits for one. */
  readonly #least: number;
  #lastHeard: number;
  readonly #host: SubscriptionHost;
  readonly #settle: (reason: EndReason) => void;
  #running = true;
  #cancelling: Promise<void> | undefined;

  /** Makes one that was just heard of. */
  constructor(
    host: SubscriptionHost,
    settings: SubscriptionSettings,
    clock: Clock,
    heardEvery: number,
  ) {
    const { promise, resolve } = Promise.withResolvers<EndReason>();
    this.ended = promise;
    this.#settle = resolve;
    this.#host = host;
    this.queue = settings.queue;
    this.consumerTag = settings.consumerTag;
    this.noAck = settings.noAck;
    this.room = settings.prefetch;
    this.#clock = clock;
    this.#wanted = settings.wanted;
    this.#fetchesOnDemand = settings.fetchesOnDemand;
    const isFree = settings.fetchesOnDemand || settings.wanted === undefined;
    this.#least = isFree ? 1 : Math.ceil(settings.prefetch / PART);
    this.#lastHeard = clock.now();
    this.wake = settings.wanted && (() => this.#wakeIfAsleep());
    this.heardEvery = heardEvery;
    this.taken = settings.noAck ? (count) => this.free(count) : undefined;
  }

  /** Whether it still takes deliveries. */
  get running(): boolean {
    return this.#running;
  }

  /** How many more it is to be given now. */
  get takes(): number {
    const { room } = this;
    if (this.#wanted === undefined) return room;
    if (this.#fetchesOnDemand) {
      return Math.max(0, Math.min(room, this.#wanted()));
    }
    // One for each that is settled would be a call of the store for each message.
    return room >= this.#least || this.#wanted() > 0 ? room : 0;
  }

  /** A subscription that asks for nothing is never overdue. */
  get lastHeard(): number {
    return this.takes === 0 ? this.#clock.now() : this.#lastHeard;
  }

  set lastHeard(at: number) {
    this.#lastHeard = at;
  }

  /** Gives it a message that it has room for. */
  deliver(reservation: Reservation): void {
    this.room--;
    this.#host.deliver(this, reservation);
  }

  /** Makes room: so many of its deliveries were settled. */
  free(count: number): void {
    if (!this.#running) return;
    const before = this.room;
    const room = this.room = before + count;
    const isEnough = before < this.#least && room >= this.#least;
    const wasFull = before <= 0 && room > 0;
    if (isEnough || (wasFull && this.takes > 0)) this.#wake();
  }

  /** More is wanted: it is awake already where room is enough. */
  #wakeIfAsleep(): void {
    const isAwake = !this.#fetchesOnDemand && this.room >= this.#least;
    if (!isAwake && this.takes > 0) this.#wake();
  }

  #wake(): void {
    this.#lastHeard = this.#clock.now();
    this.#host.wake(this);
  }

  /** Takes back room: a delivery whose settlement was on its way is unsettled again. */
  hold(): void {
    if (this.#running) this.room--;
  }

  /** Ends it: nothing more is delivered. */
  end(reason: EndReason): void {
    this.#running = false;
    this.#settle(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cancelling ??= this.#cancel();
  }

  async #cancel(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    // Messages that are on their way go back, and are not delivered any more.
    this.room = 0;
    try {
      await this.#host.cancel(this);
    } finally {
      this.end({ type: "cancelled" });
    }
  }
}
