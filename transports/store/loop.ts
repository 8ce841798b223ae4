import { asError } from "../../model/error_text.ts";
import type { Clock } from "../../async/clock.ts";
import { ChannelError } from "../../model/errors.ts";
import type {
  MessageStore,
  QueueNotifier,
  Reservation,
  Reserved,
  ReserveWant,
  Store,
  StoreLimits,
} from "./store.ts";
import type { StoreSubscription } from "./subscription.ts";

/** The connection's side of the loop. Neither may throw. */
export interface LoopHost {
  /** These are over their time: dead-letter them. */
  expired(reservations: readonly Reservation[]): Promise<void>;
  /** Nobody has room for these: give them back. */
  unwanted(reservations: readonly Reservation[]): Promise<void>;
}

/**
 * Takes messages for the subscriptions of a connection and hands them out: one
 * waiting call of the store at a time, for all their queues.
 */
export class Loop {
  readonly #limits: StoreLimits;
  readonly #messages: MessageStore;
  readonly #clock: Clock;
  readonly #grace: number;
  readonly #host: LoopHost;
  /** By queue, in the order of their turn. */
  readonly #subscriptions = new Map<string, StoreSubscription[]>();
  #count = 0;
  #running: Promise<void> | undefined;
  #taking: Promise<Reserved | undefined> | undefined;
  /** Settles the messages that were handed out, before anything more is reserved. */
  #settling: Promise<void> | undefined;
  /** Of the `reserve` that is under way. */
  #wanted: ReadonlySet<string> | undefined;
  #abort = new AbortController();
  #parked: (() => void) | undefined;
  readonly #notifier: QueueNotifier | undefined;
  /** With a notifier: the queues that may have messages, and those with room for them. */
  readonly #ready = new Set<string>();
  /** The functions that stop listening, by queue: the loop listens only to queues that it has room for. */
  readonly #listening = new Map<string, () => void>();

  /** Makes an idle loop; `grace` is how much longer than its wait the store may take to answer, ms. */
  constructor(store: Store, clock: Clock, grace: number, host: LoopHost) {
    this.#limits = store.limits;
    this.#messages = store.messages;
    this.#notifier = store.notifier;
    this.#clock = clock;
    this.#grace = grace;
    this.#host = host;
  }

  /** Whether it takes messages of a queue. */
  has(queue: string): boolean {
    return this.#subscriptions.has(queue);
  }

  /** Whether it can ask for another queue. */
  get hasRoom(): boolean {
    return this.#subscriptions.size < this.#limits.reserveQueues;
  }

  /** Starts to take messages for a subscription. */
  add(subscription: StoreSubscription): void {
    const sharing = this.#subscriptions.get(subscription.queue);
    if (sharing === undefined) {
      this.#subscriptions.set(subscription.queue, [subscription]);
    } else sharing.push(subscription);
    this.#count++;
    this.#running ??= this.#run().finally(() => this.#running = undefined);
    this.wake(subscription.queue);
  }

  /** Stops, and waits until nothing more is on its way to it: that goes back. */
  async remove(subscription: StoreSubscription): Promise<void> {
    const sharing = this.#subscriptions.get(subscription.queue);
    const index = sharing?.indexOf(subscription) ?? -1;
    if (sharing === undefined || index < 0) return;
    sharing.splice(index, 1);
    if (sharing.length === 0) this.#dropQueue(subscription.queue);
    this.#count--;
    this.#interrupt();
    await this.#taking;
    await this.#settling;
  }

  /** A subscription of this queue has room again. */
  wake(queue: string): void {
    if (this.#notifier !== undefined) return this.#listen(queue);
    if (this.#wanted?.has(queue) !== true) this.#interrupt();
  }

  /** There is room for what a queue has, and may get. */
  #listen(queue: string): void {
    if (!this.#subscriptions.has(queue)) return;
    if (!this.#listening.has(queue)) {
      const end = this.#notifier?.listen(queue, this.#onNews) ?? (() => {});
      this.#listening.set(queue, end);
    }
    this.#onNews(queue);
  }

  /** Wakes the loop; queues that are announced together are asked in one call. */
  readonly #onNews = (queue: string): void => {
    if (this.#ready.has(queue)) return; // it is awake
    this.#ready.add(queue);
    this.#parked?.();
  };

  #listenNoMore(queue: string): void {
    this.#ready.delete(queue);
    this.#listening.get(queue)?.();
    this.#listening.delete(queue);
  }

  #interrupt(): void {
    this.#parked?.();
    if (this.#wanted === undefined) return;
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  async #run(): Promise<void> {
    while (this.#count > 0) {
      const wants = this.#wants();
      if (wants.length === 0) {
        await new Promise<void>((resolve) => this.#parked = resolve);
        this.#parked = undefined;
        continue;
      }
      const reserved = await (this.#taking = this.#take(wants));
      this.#taking = undefined;
      if (reserved === undefined) continue;
      let settling: Promise<void> | undefined;
      try {
        // Nothing is waited for between this and the next call: it is to leave before
        // those who were handed something work on it.
        settling = this.#handOut(reserved.reservations);
      } catch (cause) {
        this.#lose(wants, unusable(cause));
      }
      if (settling === undefined) continue;
      await (this.#settling = settling.catch((error) =>
        this.#lose(wants, error)
      ));
      this.#settling = undefined;
    }
  }

  #wants(): ReserveWant[] {
    const wants: ReserveWant[] = [];
    if (this.#notifier === undefined) {
      for (const [queue, sharing] of this.#subscriptions) {
        const limit = this.#roomOf(sharing);
        if (limit > 0) wants.push({ queue, limit });
      }
      return wants;
    }
    for (const queue of this.#ready) {
      const limit = this.#roomOf(this.#subscriptions.get(queue) ?? []);
      if (limit > 0) wants.push({ queue, limit });
      else this.#listenNoMore(queue);
    }
    this.#ready.clear();
    return wants;
  }

  #roomOf(sharing: readonly StoreSubscription[]): number {
    let room = 0;
    for (const subscription of sharing) room += subscription.takes;
    return Math.min(room, this.#limits.reserveCount);
  }

  /** Asks the store; `undefined` if it has to be asked anew. Never rejects. */
  async #take(wants: readonly ReserveWant[]): Promise<Reserved | undefined> {
    const wait = this.#notifier === undefined ? this.#limits.reserveWait : 0;
    const { signal } = this.#abort;
    this.#wanted = new Set(wants.map(({ queue }) => queue));
    try {
      const reserved = await this.#messages.reserve(wants, {
        wait,
        signal,
        deadline: this.#clock.now() + wait + this.#grace,
      });
      this.#heard(wants);
      if (this.#notifier !== undefined) this.#lookAgain(wants, reserved);
      for (const queue of reserved.missing) this.#endMissing(queue);
      for (const [queue, error] of reserved.failed ?? []) {
        this.#endFailed(queue, error);
      }
      return reserved;
    } catch (error) {
      // Aborted: something changed.
      if (!signal.aborted) this.#lose(wants, error);
      else for (const { queue } of wants) this.#ready.add(queue);
      return undefined;
    } finally {
      this.#wanted = undefined;
    }
  }

  /** A queue that gave something may have more; and where something had expired, so may others. */
  #lookAgain(wants: readonly ReserveWant[], { reservations }: Reserved): void {
    let last = "";
    for (const { queue, expired } of reservations) {
      if (queue === last && !expired) continue;
      this.#ready.add(expired ? wants[0]?.queue ?? queue : queue);
      last = queue;
    }
  }

  #heard(wants: readonly ReserveWant[]): void {
    const now = this.#clock.now();
    for (const { queue } of wants) {
      for (const each of this.#subscriptions.get(queue) ?? []) {
        each.lastHeard = now;
      }
    }
  }

  /** Gives each message to the subscription that is next in turn; returns the promise to wait for, if there is one. */
  #handOut(reservations: readonly Reservation[]): Promise<void> | undefined {
    let expired: Reservation[] | undefined;
    let unwanted: Reservation[] | undefined;
    let unacked: [StoreSubscription, Reservation][] | undefined;
    for (const reservation of reservations) {
      if (reservation.expired) {
        (expired ??= []).push(reservation);
        continue;
      }
      const taker = this.#nextTaker(reservation.queue);
      if (taker === undefined) (unwanted ??= []).push(reservation);
      else if (taker.noAck) {
        taker.room--; // held for it while it is removed
        (unacked ??= []).push([taker, reservation]);
      } else taker.deliver(reservation);
    }
    return unwanted ?? unacked ?? expired
      ? this.#settle({ unwanted, unacked, expired })
      : undefined;
  }

  async #settle({ unwanted, unacked, expired }: Unsettled): Promise<void> {
    if (unwanted !== undefined) await this.#host.unwanted(unwanted);
    if (unacked !== undefined) await this.#handOutUnacked(unacked);
    if (expired !== undefined) await this.#host.expired(expired);
  }

  /** Removed first, delivered then: with `noAck` a message is delivered at most once. */
  async #handOutUnacked(
    pairs: readonly (readonly [StoreSubscription, Reservation])[],
  ): Promise<void> {
    const reservations = pairs.map(([, each]) => each);
    let lost: readonly Reservation[];
    try {
      lost = await this.#messages.remove(reservations, {
        deadline: this.#clock.now() + this.#grace,
      });
    } catch {
      // Nobody has seen them.
      for (const [taker] of pairs) taker.free(1);
      return await this.#host.unwanted(reservations);
    }
    for (const [taker, reservation] of pairs) {
      taker.room++;
      if (!lost.includes(reservation)) taker.deliver(reservation);
    }
  }

  /** Returns the subscription of a queue that is next in turn and has room. */
  #nextTaker(queue: string): StoreSubscription | undefined {
    const sharing = this.#subscriptions.get(queue);
    if (sharing === undefined) return undefined;
    const only = sharing[0];
    if (sharing.length === 1) {
      return only !== undefined && only.room > 0 ? only : undefined;
    }
    let index = sharing.findIndex((each) => each.takes > 0);
    if (index < 0) index = sharing.findIndex((each) => each.room > 0);
    if (index < 0) return undefined;
    const [taker] = sharing.splice(index, 1);
    if (taker !== undefined) sharing.push(taker);
    return taker;
  }

  #endMissing(queue: string): void {
    const error = new ChannelError(
      `Consumer of queue "${queue}" ended: the queue was deleted`,
      { code: "consumer-cancelled" },
    );
    this.#endFailed(queue, error);
  }

  #endFailed(queue: string, error: Error): void {
    for (const each of this.#dropQueue(queue)) {
      each.end({ type: "ended-by-broker", error });
    }
  }

  #lose(wants: readonly ReserveWant[], cause: unknown): void {
    const error = asError(cause);
    for (const { queue } of wants) {
      for (const each of this.#dropQueue(queue)) {
        each.end({ type: "lost", error });
      }
    }
  }

  #dropQueue(queue: string): readonly StoreSubscription[] {
    const sharing = this.#subscriptions.get(queue) ?? [];
    this.#subscriptions.delete(queue);
    this.#listenNoMore(queue);
    this.#count -= sharing.length;
    return sharing;
  }
}

/** A mistake in writing a store, which would end the process where nobody waits for the loop. */
function unusable(cause: unknown): TypeError {
  const { message } = asError(cause);
  return new TypeError(
    `Cannot use what reserve() of the store returned: ${message}; a reservation has a queue, a handle, and as its message what was put, or { error, body }`,
    { cause },
  );
}

/** Messages that the store must be told of before they are dropped here. */
interface Unsettled {
  readonly unwanted: readonly Reservation[] | undefined;
  readonly unacked:
    | readonly (readonly [StoreSubscription, Reservation])[]
    | undefined;
  readonly expired: readonly Reservation[] | undefined;
}
