import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { ClosedError, TimeoutError } from "../../model/errors.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import type {
  ChangeResult,
  PutOptions,
  PutResult,
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
  Store,
  StoreItem,
  StoreLimits,
  TopologyKey,
  TopologyView,
} from "../store/store.ts";
import type { Capability, CloseReason } from "../transport.ts";
import { CAPABILITIES } from "./capabilities.ts";
import type { CouchdbClient } from "./client.ts";
import { Database } from "./database.ts";
import { Declarations } from "./declarations.ts";
import { Feed } from "./feed.ts";
import { Held } from "./held.ts";
import { Holders } from "./holders.ts";
import { HOLDERS, TOPOLOGY_ID } from "./ids.ts";
import { LARGEST_BODY, Putter } from "./putter.ts";
import { Queues } from "./queues.ts";
import { CouchdbReservation, messageOf } from "./reservation.ts";
import { Taker } from "./taker.ts";
import { SharedTopology } from "./topology.ts";
import { Waiters } from "./waiters.ts";

/** How long a reserve waits, and the feed is listened to after the last one, ms. */
const [WAIT, FEED_LINGERS] = [10_000, 30_000];

/** What a store is opened with. */
export interface StoreSettings {
  readonly owner: string;
  readonly clock: Clock;
  readonly lease: number;
  readonly heartbeat: number;
}

/** A connection to one database: its queues are ranges of ids, a claim is a new revision. */
export class CouchdbStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability> = CAPABILITIES;
  readonly closed: Promise<CloseReason>;
  readonly #client: CouchdbClient;
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #waits: Limits;
  readonly #lease: number;
  readonly #topology: SharedTopology;
  readonly #declarations: Declarations;
  readonly #holders: Holders;
  readonly #taker: Taker;
  readonly #putter: Putter;
  readonly #queues: Queues;
  readonly #feed: Feed;
  readonly #waiters: Waiters;
  readonly #held: Held;
  #topologyIsOld = false;
  #sweptAt = -Infinity;
  #waitedAt = -Infinity;
  #end: Error | undefined;

  private constructor(client: CouchdbClient, settings: StoreSettings) {
    const { clock, lease, owner, heartbeat } = settings;
    this.#client = client;
    this.closed = client.closed;
    this.#clock = clock;
    this.#waits = new Limits(clock);
    this.#waiters = new Waiters(clock);
    this.#lease = lease;
    this.limits = {
      itemBytes: LARGEST_BODY,
      reserveCount: 500,
      reserveQueues: Infinity,
      reserveWait: WAIT,
      lease,
    };
    const database = this.#database = new Database(client);
    this.#topology = new SharedTopology(database, clock);
    this.#queues = new Queues(database, this.#topology);
    this.#held = new Held(
      database,
      this.#topology,
      (id, rev) => this.#heard(id, rev, false),
    );
    this.#declarations = new Declarations(
      database,
      this.#topology,
      this.#queues,
      (queue) => this.#waiters.ring(queue),
    );
    this.#holders = new Holders(
      database,
      { owner, lease, clock },
      async (doc) => void await this.#held.giveBack(doc),
    );
    this.#taker = new Taker(database, this.#topology, this.#holders);
    this.#putter = new Putter(database, this.#topology);
    this.#feed = new Feed(
      client,
      heartbeat,
      (id, rev, deleted) => this.#heard(id, rev, deleted),
    );
    void client.closed.then((reason) => {
      if (reason.type === "lost") this.#finish(reason.error);
    });
  }

  /** Opens a store over a client: what an earlier connection of the same owner still holds goes back. */
  static async open(
    client: CouchdbClient,
    settings: StoreSettings,
    options: CallOptions,
  ): Promise<CouchdbStore> {
    const store = new CouchdbStore(client, settings);
    await store.#topology.look(options);
    await store.#holders.succeed(options);
    return store;
  }

  async readTopology(
    of: TopologyKey,
    options?: CallOptions,
  ): Promise<TopologyView> {
    const view = await this.#look(options);
    if (of.type === "queue") await this.#declarations.use(of.name);
    return view;
  }

  applyChanges(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    return this.#declarations.apply(changes, version, options);
  }

  async countMessages(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    const { topology } = this.#topology.view;
    if (topology.queue(queue) === undefined) return undefined;
    return await this.#queues.count(queue, options);
  }

  purgeQueue(queue: string, options?: CallOptions): Promise<number> {
    return this.#queues.purge(queue, options);
  }

  async put(
    items: readonly StoreItem[],
    options?: PutOptions,
  ): Promise<PutResult> {
    const { version, instead } = options ?? {};
    if (version !== undefined) {
      const view = await this.#look(options);
      if (view.version !== version) return { type: "stale" };
    }
    const written = await this.#putter.put(items, options);
    if (instead !== undefined) {
      const [lost] = await this.remove([instead], options);
      if (lost !== undefined) {
        const takingBack = this.#putter.takeBack(written);
        await this.#bounded(takingBack, options, "take back messages");
        return { type: "lost" };
      }
    }
    for (const { id, rev } of written) this.#heard(id, rev, false);
    return { type: "put", displaced: [] };
  }

  async reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { signal, wait } = options;
    signal?.throwIfAborted();
    this.#requireOpen();
    const queues = new Set(wants.map(({ queue }) => queue));
    const waiter = this.#waiters.enter(queues);
    try {
      const until = this.#clock.now() + wait;
      if (wait > 0) await this.#listen(options);
      for (;;) {
        waiter.rung = false;
        this.#requireOpen();
        const reserved = await this.#take(wants, wait > 0);
        if (signal?.aborted) {
          await this.release(reserved.reservations);
          throw signal.reason;
        }
        const left = until - this.#clock.now();
        if (
          left <= 0 || reserved.reservations.length > 0 ||
          reserved.missing.length > 0
        ) return reserved;
        const time = Math.min(left, this.#quiet(queues));
        await this.#waiters.sleep(waiter, time, signal);
      }
    } finally {
      this.#waiters.leave(waiter);
    }
  }

  async remove(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return await this.#bounded(
      this.#held.remove(reservations),
      options,
      "settle messages",
    );
  }

  async release(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const released = this.#held.release(reservations);
    return await this.#bounded(released, options, "settle messages");
  }

  async renew(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    await this.#bounded(this.#holders.renew(), options, "renew a lease");
    const lost = reservations.filter((each) =>
      each instanceof CouchdbReservation &&
      each.doc.holder !== this.#holders.name
    );
    for (const each of lost) this.#held.forget(each);
    return lost;
  }

  readonly setAside: NonNullable<Store["setAside"]> = async (all, options) => {
    const ours = all.filter((each) => each instanceof CouchdbReservation);
    await this.#bounded(this.#putter.setAside(ours), options, "set aside");
    return await this.remove(all, options);
  };

  readonly listAside: NonNullable<Store["listAside"]> = async (...call) => {
    const docs = await this.#putter.listAside(...call);
    return docs.map((doc) => ({ handle: doc._id, message: messageOf(doc) }));
  };

  readonly putBack: NonNullable<Store["putBack"]> = async (...call) => {
    const back = await this.#putter.putBackAll(...call);
    for (const { id, rev } of back) this.#heard(id, rev, false);
    return back.length;
  };

  async beat(
    _owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    await this.#bounded(this.#holders.renew(), options, "renew a lease");
    if (
      this.#waiters.size === 0 &&
      this.#clock.now() - this.#waitedAt > FEED_LINGERS
    ) this.#feed.stop();
    await this.#look(options);
    return await this.#sweep(ttl, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end !== undefined) return await this.#client.close();
    this.#finish(new ClosedError("Cannot use the connection: it is closed"));
    this.#feed.stop();
    try {
      await this.#waiters.empty();
      await this.release(this.#held.all());
      await this.#holders.leave();
    } catch {
      // Closing ends quietly: what we hold goes back when we are missed.
    }
    await this.#client.close();
  }

  destroy(): void {
    void this.#client.close();
  }

  /** Whoever waits, or comes later, gets the error. */
  #finish(error: Error): void {
    this.#end = error;
    this.#waiters.ringAll();
    this.#waiters.close();
    this.#waits.clear();
    this.#topology.close();
  }

  async #take(
    wants: readonly ReserveWant[],
    told: boolean,
  ): Promise<Reserved> {
    if (told) await this.#lookAround();
    const { topology } = this.#topology.view;
    const there = wants.filter(({ queue }) => topology.queue(queue));
    const missing = wants.filter(({ queue }) => !topology.queue(queue));
    const taken = await Promise.allSettled([
      ...there.map(({ queue, limit }) => this.#taker.take(queue, limit, told)),
      ...told ? [this.#taker.takeExpired()] : [],
    ]);
    const reservations: CouchdbReservation[] = [];
    let failure: PromiseRejectedResult | undefined;
    for (const each of taken) {
      if (each.status === "rejected") failure = each;
      else reservations.push(...each.value);
    }
    for (const each of reservations) this.#held.add(each);
    if (failure !== undefined) {
      await this.release(reservations);
      throw failure.reason;
    }
    return { reservations, missing: missing.map(({ queue }) => queue) };
  }

  /** What a waiting connection does now and then. */
  async #lookAround(): Promise<void> {
    this.#waitedAt = this.#clock.now();
    if (this.#topologyIsOld) {
      this.#topologyIsOld = false;
      await this.#topology.look();
    }
    if (this.#untilSweep <= 0) await this.#sweep(0);
  }

  async #sweep(ttl: number, options?: CallOptions): Promise<readonly string[]> {
    this.#sweptAt = this.#clock.now();
    return await this.#holders.sweep(ttl, options);
  }

  get #untilSweep(): number {
    return this.#sweptAt + this.#lease / 2 - this.#clock.now();
  }

  #quiet(queues: ReadonlySet<string>): number {
    const due = this.#taker.nextAt([...queues]) - this.#client.time.now();
    return Math.min(due, this.#untilSweep);
  }

  async #listen(options: CallOptions): Promise<void> {
    if (this.#feed.running) return;
    const starting = this.#feed.start().then(() => this.#taker.reset());
    await this.#bounded(starting, options, "listen to changes");
  }

  #heard(id: string, rev: string, deleted: boolean): void {
    if (id === TOPOLOGY_ID) {
      if (rev === this.#topology.view.version) return;
      this.#topologyIsOld = true;
      return this.#waiters.ringAll();
    }
    if (id.startsWith(HOLDERS)) return this.#holders.heard(id, rev, deleted);
    const heard = this.#taker.heard(id, rev, deleted);
    if (heard === "all") this.#waiters.ringAll();
    else if (heard !== undefined) this.#waiters.ring(heard.queue);
  }

  async #look(options?: CallOptions): Promise<TopologyView> {
    this.#requireOpen();
    return await this.#declarations.look(options);
  }

  #bounded<T>(
    promise: Promise<T>,
    options: CallOptions | undefined,
    action: string,
  ): Promise<T> {
    // After the end all requests reject by themselves.
    if (this.#end !== undefined) return promise;
    return this.#waits.wait(
      promise,
      options,
      () =>
        new TimeoutError(`Cannot ${action}: CouchDB did not answer in time`, {
          outcome: "unknown",
        }),
    );
  }

  #requireOpen(): void {
    if (this.#end !== undefined) throw this.#end;
  }
}
