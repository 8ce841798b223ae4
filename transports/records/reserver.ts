import type { Clock } from "../../async/clock.ts";
import { Notifier } from "../../async/notifier.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type {
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
} from "../store/store.ts";
import { allTaken } from "../store/taking.ts";
import { untilReserved } from "../store/waiting.ts";
import { Feed } from "./feed.ts";
import { LEASES, TOPOLOGY_ID } from "./ids.ts";
import type { Records } from "./records.ts";
import { Taker, type TakerContext } from "./taker.ts";

/** The default pause between two looks for messages where no change is reported, ms. */
const POLL = 50;

/** How long changes are listened to after the last call that waited, ms. */
const FEED_LINGERS = 30_000;

/** The parts of a connection that take part in receiving. */
export interface ReserverContext extends TakerContext {
  readonly records: Records;
  readonly clock: Clock;
  /** Milliseconds. */
  readonly lease: number;
}

/** Takes messages, and waits for them: until a change is reported, until something is due, or until the next look. */
export class Reserver {
  readonly #context: ReserverContext;
  readonly #taker: Taker;
  readonly #feed: Feed;
  readonly #notifier: Notifier;
  /** Takes that nobody waits for any more. */
  readonly #late = new Set<Promise<void>>();
  /** What was taken for nobody, and could not be put back yet. */
  readonly #unwanted: Reservation[] = [];
  #topologyIsOld = false;
  #sweptAt = -Infinity;
  #waitedAt = -Infinity;

  /** Makes one that does not listen to changes yet. */
  constructor(context: ReserverContext) {
    const { records, clock } = context;
    this.#context = context;
    this.#taker = new Taker(context);
    this.#notifier = new Notifier(clock, context.lifeline.limits);
    this.#feed = new Feed(records, (...change) => this.onChange(...change));
    context.lifeline.onEnd(() => {
      this.#notifier.notifyAll();
      this.#feed.close();
    });
  }

  /** Takes messages; waits for the first. */
  async reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { clock } = this.#context;
    const { signal, wait } = options;
    this.#check(options);
    return await untilReserved(this.#notifier, clock, wants, options, {
      take: async (isFirst) => {
        if (isFirst && wait > 0) await this.#listen(options);
        this.#check();
        const reserved = await this.#takeWithin(wants, options);
        if (!signal?.aborted) return reserved;
        await this.#giveBack(reserved.reservations);
        throw signal.reason;
      },
      pause: () => this.#pause(wants),
    });
  }

  /** Is told that a record changed. */
  onChange(id: string, revision: string, isRemoved: boolean): void {
    const { topology, leases } = this.#context;
    if (id === TOPOLOGY_ID) {
      if (revision === topology.view.version) return;
      this.#topologyIsOld = true;
      return this.#notifier.notifyAll();
    }
    if (id.startsWith(LEASES)) return leases.onChange(id, revision, isRemoved);
    const change = this.#taker.onChange(id, revision, isRemoved);
    if (change === "all") this.#notifier.notifyAll();
    else if (change !== undefined) this.#notifier.notify(change.queue);
  }

  /** Wakes the calls that wait for a queue. */
  notify(queue: string): void {
    this.#notifier.notify(queue);
  }

  /** Listens to changes no more, unless a call waited just now. */
  stopIfIdle(): void {
    const isIdle = this.#context.clock.now() - this.#waitedAt > FEED_LINGERS;
    if (this.#notifier.isIdle && isIdle) this.#feed.stop();
  }

  /** Releases what connections took whose leases have expired; returns the owners that are dead. */
  async sweep(ttl: number, options?: CallOptions): Promise<readonly string[]> {
    this.#sweptAt = this.#context.clock.now();
    return await this.#context.leases.sweep(ttl, options);
  }

  /** Waits until no call waits any more, and nothing more is taken; `false` while something may be held for nobody. */
  async drained(): Promise<boolean> {
    await this.#notifier.empty();
    await Promise.all(this.#late);
    return await this.#taker.finish();
  }

  /** Takes no longer than a call's limits allow; what is taken after that goes back. */
  async #takeWithin(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { lifeline } = this.#context;
    const taking = this.#take(wants, options.wait > 0);
    try {
      return await lifeline.wait("take messages", options, taking);
    } catch (error) {
      const givingBack = taking
        .then(({ reservations }) => this.#giveBack(reservations))
        .catch(() => {}) // the call has its error
        .then(() => void this.#late.delete(givingBack));
      this.#late.add(givingBack);
      throw error;
    }
  }

  async #take(
    wants: readonly ReserveWant[],
    waits: boolean,
  ): Promise<Reserved> {
    const { unacked } = this.#context;
    await this.#giveBack(this.#unwanted.splice(0));
    if (waits) await this.#lookAround();
    const isTold = waits && this.#feed.isRunning;
    const { topology } = this.#context.topology.view;
    const there = wants.filter(({ queue }) => topology.queue(queue));
    const missing = wants.filter(({ queue }) => !topology.queue(queue));
    const reservations = await allTaken([
      ...there.map(({ queue, limit }) =>
        this.#taker.take(queue, limit, isTold)
      ),
      ...waits ? [this.#taker.takeExpired(isTold)] : [],
    ]);
    for (const each of reservations) unacked.add(each);
    return { reservations, missing: missing.map(({ queue }) => queue) };
  }

  /** Puts back what nobody waits for: now, or with a later call. Never rejects. */
  async #giveBack(reservations: readonly Reservation[]): Promise<void> {
    if (reservations.length === 0) return;
    await this.#context.unacked.release(reservations).catch(() => {
      this.#unwanted.push(...reservations);
    });
  }

  /** Does what a waiting connection does now and then. */
  async #lookAround(): Promise<void> {
    const { clock, topology } = this.#context;
    this.#waitedAt = clock.now();
    if (this.#topologyIsOld || !this.#feed.isRunning) {
      this.#topologyIsOld = false;
      await topology.look().catch((error) => {
        this.#topologyIsOld = true;
        throw error;
      });
    }
    if (this.#untilSweep <= 0) await this.sweep(0);
  }

  get #untilSweep(): number {
    const { clock, lease } = this.#context;
    return this.#sweptAt + lease / 2 - clock.now();
  }

  /** Milliseconds until there may be something that no change tells. */
  #pause(wants: readonly ReserveWant[]): number {
    const { database, records } = this.#context;
    const queues = wants.map(({ queue }) => queue);
    const due = this.#taker.nextAt(queues) - database.now();
    const { poll = POLL } = records.limits;
    const rest = this.#feed.isRunning ? Infinity : poll;
    return Math.min(due, rest, this.#untilSweep);
  }

  async #listen(options: CallOptions): Promise<void> {
    if (this.#feed.isRunning) return;
    const starting = this.#feed.start().then(() => this.#taker.reset());
    await this.#context.lifeline.wait(
      "listen to changes",
      options,
      starting,
    );
  }

  #check(options?: CallOptions): void {
    const { lifeline } = this.#context;
    const refusal = lifeline.refusal("take messages", options);
    if (refusal !== undefined) throw refusal;
  }
}
