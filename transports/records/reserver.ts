import type { Clock } from "../../async/clock.ts";
import { Notifier } from "../../async/notifier.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type { Reserved, ReserveOptions, ReserveWant } from "../store/store.ts";
import { untilReserved } from "../store/waiting.ts";
import type { Database } from "./database.ts";
import { Feed } from "./feed.ts";
import { LEASES, TOPOLOGY_ID } from "./ids.ts";
import type { Leases } from "./leases.ts";
import type { Records } from "./records.ts";
import type { RecordReservation } from "./reservation.ts";
import { Taker } from "./taker.ts";
import type { Tables } from "./tables.ts";
import type { Unacked } from "./unacked.ts";

/** The default pause between two looks for messages where no change is reported, ms. */
const POLL = 50;

/** How long changes are listened to after the last call that waited, ms. */
const FEED_LINGERS = 30_000;

/** The parts of a connection that take part in receiving. */
export interface ReserverContext {
  readonly records: Records;
  readonly database: Database;
  readonly clock: Clock;
  readonly lifeline: Lifeline;
  /** Milliseconds. */
  readonly lease: number;
  readonly topology: Tables;
  readonly leases: Leases;
  readonly unacked: Unacked;
}

/** Takes messages, and waits for them: until a change is reported, until something is due, or until the next look. */
export class Reserver {
  readonly #context: ReserverContext;
  readonly #taker: Taker;
  readonly #feed: Feed;
  readonly #notifier: Notifier;
  /** Takes that nobody waits for any more. */
  readonly #late = new Set<Promise<void>>();
  #topologyIsOld = false;
  #sweptAt = -Infinity;
  #waitedAt = -Infinity;

  /** Makes one that does not listen to changes yet. */
  constructor(context: ReserverContext) {
    const { records, database, clock, topology, leases } = context;
    this.#context = context;
    this.#taker = new Taker(
      database,
      topology,
      leases,
      context.lifeline.limits,
    );
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
    const { clock, unacked } = this.#context;
    const { signal, wait } = options;
    this.#check(options);
    return await untilReserved(this.#notifier, clock, wants, options, {
      take: async (isFirst) => {
        if (isFirst && wait > 0) await this.#listen(options);
        this.#check();
        const reserved = await this.#takeWithin(wants, options);
        if (!signal?.aborted) return reserved;
        await unacked.release(reserved.reservations);
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

  /** Waits until no call waits any more, and nothing more is taken. */
  async drained(): Promise<void> {
    await this.#notifier.empty();
    await Promise.all(this.#late);
  }

  /** Takes no longer than a call's limits allow; what is taken after that goes back. */
  async #takeWithin(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { lifeline, unacked } = this.#context;
    const taking = this.#take(wants, options.wait > 0);
    try {
      return await lifeline.wait("take messages", options, taking);
    } catch (error) {
      const givingBack = taking
        .then(({ reservations }) => unacked.release(reservations))
        .catch(() => {}) // its lease ends
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
    if (waits) await this.#lookAround();
    const isTold = waits && this.#feed.isRunning;
    const { topology } = this.#context.topology.view;
    const there = wants.filter(({ queue }) => topology.queue(queue));
    const missing = wants.filter(({ queue }) => !topology.queue(queue));
    const taken = await Promise.allSettled([
      ...there.map(({ queue, limit }) =>
        this.#taker.take(queue, limit, isTold)
      ),
      ...waits ? [this.#taker.takeExpired(isTold)] : [],
    ]);
    const reservations: RecordReservation[] = [];
    let failure: PromiseRejectedResult | undefined;
    for (const each of taken) {
      if (each.status === "rejected") failure = each;
      else reservations.push(...each.value);
    }
    for (const each of reservations) unacked.add(each);
    if (failure !== undefined) {
      await unacked.release(reservations);
      throw failure.reason;
    }
    return { reservations, missing: missing.map(({ queue }) => queue) };
  }

  /** Does what a waiting connection does now and then. */
  async #lookAround(): Promise<void> {
    const { clock, topology } = this.#context;
    this.#waitedAt = clock.now();
    if (this.#topologyIsOld || !this.#feed.isRunning) {
      this.#topologyIsOld = false;
      await topology.look();
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
