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
  /** How many more it would begin with, where no more is to be fetched. */
  readonly wanted?: (() => number) | undefined;
}

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
    this.#lastHeard = clock.now();
    this.wake = settings.wanted && (() => this.#wake());
    this.heardEvery = heardEvery;
    this.taken = settings.noAck ? (count) => this.free(count) : undefined;
  }

  /** Whether it still takes deliveries. */
  get running(): boolean {
    return this.#running;
  }

  /** How many more it is to be given now. */
  get takes(): number {
    if (this.#wanted === undefined) return this.room;
    return Math.max(0, Math.min(this.room, this.#wanted()));
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
    const wasFull = this.room <= 0;
    this.room += count;
    if (wasFull && this.room > 0) this.#wake();
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
