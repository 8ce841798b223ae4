import { ClosedError, ConnectionError } from "../../model/errors.ts";
import type { Delivery } from "../../model/message.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { Channel, Subscription } from "../../transports/transport.ts";
import type { Source } from "./source.ts";
import type { KnownOptions } from "../known_options.ts";
import type { Call, OperationOptions } from "../operation_options.ts";
import { isLost } from "../connection/retry.ts";
import { Queue } from "../entities/queue.ts";
import type { Session } from "../connection/session.ts";
import type { StreamPosition } from "./stream_position.ts";

/** A delivery, and what to settle it on. */
export interface ReceivedDelivery {
  readonly delivery: Delivery;
  readonly source: ConsumedQueue;
}

/** A channel that messages are taken by: a consumer's, or a getter's. */
export class Lane {
  readonly channel: Channel;
  readonly session: Session;
  readonly sources: Map<string, ConsumedQueue> = new Map();
  /** Resolves when its deliveries are no longer ours. Never rejects. */
  readonly lost: Promise<void>;
  readonly #settleLost: () => void;
  readonly #stopped: AbortSignal | undefined;
  /** Settlements that a middleware has yet to pass on; made with the first one. */
  #passing: Promise<void> | undefined;
  /** Callbacks for the loss of a message. */
  readonly #watching = new Map<Delivery, (reason: Error) => void>();
  alive = true;
  unsettled = 0;
  /** So many unsettled messages are all that it may have. */
  readonly #full: number;
  /** Since when it has so many, on the clock. */
  fullSince: number | undefined;
  /** Whether its consumers go by what is wanted, and are to be told of more. */
  fetchesOnDemand = false;
  error: Error | undefined;
  /** Whether anything has come by it. */
  heard = false;
  /** Called when a message is settled: somebody closes, and waits for that. */
  onSettled: (() => void) | undefined;
  /** Whether its consumers are cancelled, or about to be: more that comes by it goes back. */
  cancelled = false;
  /** Deliveries to a paused consumer that was not cancelled yet: given back at once they would come again. */
  readonly early: ReceivedDelivery[] = [];
  #cancelling: Promise<void> | undefined;
  /** When the broker was last heard of by it, on the clock, once it is over. */
  #heardUntil: number | undefined;
  /** Whether what goes back must go with the channel: given back by itself it would be overtaken. */
  ordered: boolean;

  constructor(
    session: Session,
    channel: Channel,
    stopped: AbortSignal | undefined,
    ordered: boolean,
    full: number,
  ) {
    this.#full = full;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.lost = promise;
    this.#settleLost = resolve;
    this.session = session;
    this.channel = channel;
    this.#stopped = stopped;
    this.ordered = ordered;
    this.limits = {
      signal: undefined,
      fresh: true,
      get deadline(): number {
        return session.clock.now() + session.endpoint.operationTimeout;
      },
    };
    channel.closed.then((reason) => {
      this.lose(
        reason.type === "lost" ? reason.error : new ConnectionError(
          "The channel of a message was closed",
          { code: "connection-lost" },
        ),
      );
    });
  }

  /**
   * Of all calls that have none of their own: one for all of them. Its deadline counts
   * from when somebody looks, for on some transports nobody does, and a look at the
   * clock for each ack is expensive.
   */
  readonly limits: Call;

  /** When the broker was last heard of by it, on the clock; `undefined` if it consumes from nothing yet. */
  get heardAt(): number | undefined {
    if (this.#heardUntil !== undefined) return this.#heardUntil;
    let latest: number | undefined;
    for (const { subscription } of this.sources.values()) {
      if (subscription === undefined) continue;
      latest = Math.max(latest ?? -Infinity, subscription.lastHeard);
    }
    return latest;
  }

  /** Unsettled messages are no longer the user's, who closes: their channel is closed, or about to be. */
  disown(): void {
    this.lose(
      new ClosedError(
        "The consumer of a message was closed: the message is delivered again",
      ),
    );
  }

  /** More is wanted. */
  wake(): void {
    for (const { subscription } of this.sources.values()) {
      subscription?.wake?.();
    }
  }

  /**
   * Cancels its consumers; gives back what nobody took. With nothing in the user's hands
   * the channel is closed: all goes back in one step, and in order. If order matters, that
   * waits until the user has settled these, for later ones must not be delivered to
   * others before earlier ones are back.
   */
  cancel(left: readonly ReceivedDelivery[], call: Call): Promise<void> {
    this.#heardUntil = this.heardAt;
    this.cancelled = true;
    return this.#cancelling ??= this.#cancel(
      [...left, ...this.early.splice(0)],
      call,
    );
  }

  async #cancel(
    left: readonly ReceivedDelivery[],
    call: Call,
  ): Promise<void> {
    if (!this.alive) return;
    if (this.unsettled === 0 || this.ordered) {
      this.#settleLost();
      if (this.unsettled === 0) await this.close();
      return;
    }
    await Promise.all(
      [...this.sources.values()].map((source) => this.#cancelOne(source)),
    );
    await Promise.all(left.map((received) => this.#return(received, call)));
    this.#settleLost();
  }

  /** Gives back a delivery that came too late for anybody to take it. */
  giveBack(received: ReceivedDelivery): void {
    this.session.track(this.#return(received, this.session.call()));
  }

  async #return({ delivery }: ReceivedDelivery, call: Call): Promise<void> {
    // A message that is kept goes back with the channel.
    if (!this.alive || this.ordered) return;
    try {
      await this.channel.reject(delivery.deliveryTag, {
        ...call,
        requeue: true,
      });
    } catch {
      // The channel is lost: then it goes back by itself.
    }
  }

  async #cancelOne({ subscription }: ConsumedQueue): Promise<void> {
    try {
      await subscription?.[Symbol.asyncDispose]();
    } catch (error) {
      // With its connection the consumer is gone, too.
      if (this.alive && !isLost(error)) throw error;
    }
  }

  /** A message is settled; the last one of a cancelled consumer ends the channel, once the broker has answered. */
  settled(delivery: Delivery, settling: Promise<void> | undefined): void {
    this.#watching.delete(delivery);
    this.fullSince = undefined;
    this.onSettled?.();
    if (--this.unsettled > 0 || !this.cancelled) return;
    const answered = settling?.then(() => {}, () => {}) ?? Promise.resolve();
    this.session.track(
      answered.then(() => this.unsettled > 0 ? undefined : this.close()),
    );
  }

  /** A message is with the user. */
  taken(): void {
    if (++this.unsettled >= this.#full) {
      this.fullSince = this.session.clock.now();
    }
  }

  /** Its settlement failed. */
  kept(): void {
    this.unsettled++;
  }

  /** A message is settled by being handed over. An ack that fails for a transient reason is tried again. */
  settleTaken({ deliveryTag }: Delivery): void {
    const settling = this.channel.ack(deliveryTag).catch((error) => {
      // Settled before, or no longer ours: it is delivered again.
      if (!isLost(error)) return;
      const call = this.session.call();
      return this.session.retry(
        call,
        () => this.channel.ack(deliveryTag, call),
      );
    });
    settling.catch(() => {});
  }

  watch(delivery: Delivery, callback: (reason: Error) => void): void {
    this.#watching.set(delivery, callback);
  }

  loseOne(delivery: Delivery, reason: Error): void {
    this.#watching.get(delivery)?.(reason);
    this.#watching.delete(delivery);
  }

  lose(error: Error): void {
    if (!this.alive) return;
    this.#heardUntil = this.heardAt;
    this.alive = false;
    this.error = error;
    for (const callback of this.#watching.values()) callback(error);
    this.#watching.clear();
    this.#settleLost();
    if (!this.#stopped?.aborted) this.session.track(this.close());
  }

  /** Waits for a settlement to be on its way before the channel closes. Must not reject. */
  hold(passing: Promise<void>): void {
    const before = this.#passing;
    this.#passing = before?.then(() => passing) ?? passing;
  }

  async close(): Promise<void> {
    if (this.#passing !== undefined) await this.#passing;
    // Acks that were made just now leave before the channel closes.
    await this.channel[Symbol.asyncDispose]();
  }

  watched(): Iterable<Delivery> {
    return this.#watching.keys();
  }
}

/** One queue on one channel: what its messages are settled on. */
export class ConsumedQueue implements Source {
  readonly #lane: Lane;
  /** How far it has come, if it is a stream. */
  readonly #position: StreamPosition | undefined;
  readonly queue: string;
  readonly noAck: boolean;
  readonly #declared: Queue | undefined;
  subscription: Subscription | undefined;

  /** Made by the recovering, and for each message by a getter. */
  constructor(
    lane: Lane,
    queue: Queue | string,
    noAck: boolean,
    position: StreamPosition | undefined,
  ) {
    this.#lane = lane;
    this.#declared = queue instanceof Queue ? queue : undefined;
    this.queue = typeof queue === "string"
      ? queue
      : lane.session.declarations.nameOf(queue) ?? queue.name;
    this.noAck = noAck;
    this.#position = position;
  }

  /** The channel that its messages come by. */
  get lane(): Lane {
    return this.#lane;
  }

  get channel(): Channel {
    return this.#lane.channel;
  }

  get alive(): boolean {
    return this.#lane.alive;
  }

  get error(): Error | undefined {
    return this.#lane.error;
  }

  get declared(): QueueDeclaration | undefined {
    return this.#declared ??
      this.#lane.session.declarations.queueOf(this.queue);
  }

  get consumerTag(): string | undefined {
    return this.subscription?.consumerTag;
  }

  get ordered(): boolean {
    return this.subscription?.ordered ?? false;
  }

  /** The user takes one of its messages; with `noAck` it is settled by that. */
  take(delivery: Delivery): void {
    this.#position?.take(delivery);
    if (!this.noAck) this.#lane.taken();
    else if (this.alive) {
      this.#position?.settle(delivery);
      this.#lane.settleTaken(delivery);
    }
  }

  /** One of its messages was fetched, and is not handed over. */
  giveBack(received: ReceivedDelivery): void {
    this.#lane.giveBack(received);
  }

  watchSettled(callback: () => void): void {
    this.#lane.onSettled = callback;
    this.#lane.channel.closed.then(callback);
  }

  onSettled(delivery: Delivery, settling: Promise<void> | undefined): void {
    this.#position?.settle(delivery);
    this.#lane.settled(delivery, settling);
  }

  hold(passing: Promise<void>): void {
    this.#lane.hold(passing);
  }

  wait<T>(promise: Promise<T>, call: Call, late: () => Error): Promise<T> {
    return this.#lane.session.limits.wait(promise, call, late);
  }

  onKept(): void {
    this.#lane.kept();
  }

  onLost(delivery: Delivery, callback: (reason: Error) => void): void {
    this.#lane.watch(delivery, callback);
  }

  /** Some of its messages are no longer ours. */
  lose(tags: readonly number[]): void {
    const reason = new ConnectionError(
      `A message of queue "${this.queue}" is no longer ours: its lease was lost`,
      { code: "connection-lost" },
    );
    for (const delivery of [...this.#lane.watched()]) {
      if (delivery.queue !== this.queue) continue;
      if (!tags.includes(delivery.deliveryTag)) continue;
      this.#lane.loseOne(delivery, reason);
    }
  }

  limits(options: OperationOptions | undefined, known?: KnownOptions): Call {
    if (options === undefined) return this.#lane.limits;
    return this.#lane.session.call(options, known);
  }
}
