import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { asError } from "../../model/error_text.ts";
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
import type { Capability, CloseReason, ConnectOptions } from "../transport.ts";
import { Database } from "./database.ts";
import { Declarations } from "./declarations.ts";
import { Feed } from "./feed.ts";
import { LEASES, TOPOLOGY_ID } from "./ids.ts";
import { Leases } from "./leases.ts";
import { largestBody, Putter } from "./putter.ts";
import { Quarantine } from "./quarantine.ts";
import { QueueContents } from "./queue_contents.ts";
import { QueueWaiters } from "./queue_waiters.ts";
import type { Records } from "./records.ts";
import { messageOf, RecordReservation } from "./reservation.ts";
import { Taker } from "./taker.ts";
import { SharedTopology } from "./topology.ts";
import { Unacked } from "./unacked.ts";

/** How long a reserve waits, and changes are listened to after the last one, ms. */
const [WAIT, FEED_LINGERS] = [10_000, 30_000];

/** The defaults of a connection's lease, and of the pause between two looks for messages, ms. */
const [LEASE, POLL] = [30_000, 50];

/** All but a limit of length: to know how many messages lie in a queue is to read all of their names. */
const CAPABILITIES: readonly Capability[] = [
  "dead-letter",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "known-queues",
  "lease",
  "message-ttl",
  "priority",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
];

/** A connection to one database: its queues are ranges of ids, a claim is a new revision. */
export class RecordsStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly #records: Records;
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #waits: Limits;
  readonly #lease: number;
  readonly #topology: SharedTopology;
  readonly #declarations: Declarations;
  readonly #leases: Leases;
  readonly #taker: Taker;
  readonly #putter: Putter;
  readonly #quarantine: Quarantine;
  readonly #contents: QueueContents;
  readonly #feed: Feed;
  readonly #waiters: QueueWaiters;
  readonly #unacked: Unacked;
  #topologyIsOld = false;
  #sweptAt = -Infinity;
  #waitedAt = -Infinity;
  #end: Error | undefined;

  private constructor(
    records: Records,
    { clock, owner }: Pick<ConnectOptions, "clock" | "owner">,
  ) {
    const { recordBytes, lease = LEASE } = records.limits;
    this.#records = records;
    this.closed = records.closed;
    this.capabilities = new Set<Capability>(
      records.isPersistent ? [...CAPABILITIES, "persistence"] : CAPABILITIES,
    );
    this.#clock = clock;
    this.#waits = new Limits(clock);
    this.#waiters = new QueueWaiters(clock);
    this.#lease = lease;
    this.limits = {
      itemBytes: largestBody(recordBytes),
      reserveCount: 500,
      reserveQueues: Infinity,
      reserveWait: WAIT,
      lease,
    };
    const database = this.#database = new Database(records, clock);
    const topology = this.#topology = new SharedTopology(database, clock);
    this.#contents = new QueueContents(database, topology);
    this.#unacked = new Unacked(
      database,
      topology,
      (id, revision) => this.#onChange(id, revision, false),
    );
    this.#declarations = new Declarations(
      database,
      topology,
      this.#contents,
      (queue) => this.#waiters.notify(queue),
    );
    this.#leases = new Leases(
      database,
      { owner, lease, clock },
      async (row) => void await this.#unacked.releaseRow(row),
    );
    this.#taker = new Taker(database, topology, this.#leases);
    this.#putter = new Putter(database, topology, recordBytes);
    this.#quarantine = new Quarantine(database, this.#putter);
    this.#feed = new Feed(records, (...change) => this.#onChange(...change));
    void records.closed.then((reason) => {
      if (reason.type === "lost") this.#finish(reason.error);
    });
  }

  /** Opens a store over a database: what an earlier connection of the same owner took goes back. */
  static async open(
    records: Records,
    { clock, owner, signal, deadline }: Pick<
      ConnectOptions,
      "clock" | "owner" | "signal" | "deadline"
    >,
  ): Promise<RecordsStore> {
    const store = new RecordsStore(records, { clock, owner });
    const options = { signal, deadline };
    try {
      // First, before anything is written: the database may be of another version.
      await store.#topology.look(options);
      await store.#leases.takeOver(options);
      return store;
    } catch (error) {
      store.#finish(asError(error));
      await records[Symbol.asyncDispose]();
      throw error;
    }
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
    return await this.#contents.count(queue, options);
  }

  purgeQueue(queue: string, options?: CallOptions): Promise<number> {
    return this.#contents.purge(queue, options);
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
    for (const { id, revision } of written) this.#onChange(id, revision, false);
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
        waiter.isNotified = false;
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
        const time = Math.min(left, this.#pause(queues));
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
      this.#unacked.remove(reservations),
      options,
      "settle messages",
    );
  }

  async release(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const released = this.#unacked.release(reservations);
    return await this.#bounded(released, options, "settle messages");
  }

  async renew(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    await this.#bounded(this.#leases.renew(), options, "renew a lease");
    const lost = reservations.filter((each) =>
      each instanceof RecordReservation &&
      each.row.fields.holder !== this.#leases.name
    );
    for (const each of lost) this.#unacked.forget(each);
    return lost;
  }

  readonly setAside: NonNullable<Store["setAside"]> = async (all, options) => {
    const ours = all.filter((each) => each instanceof RecordReservation);
    await this.#bounded(this.#quarantine.add(ours), options, "quarantine");
    return await this.remove(all, options);
  };

  readonly listAside: NonNullable<Store["listAside"]> = async (...call) => {
    const rows = await this.#quarantine.list(...call);
    return rows.map((row) => ({ handle: row.id, message: messageOf(row) }));
  };

  readonly putBack: NonNullable<Store["putBack"]> = async (...call) => {
    const back = await this.#quarantine.putBack(...call);
    for (const { id, revision } of back) this.#onChange(id, revision, false);
    return back.length;
  };

  async beat(
    _owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    await this.#bounded(this.#leases.renew(), options, "renew a lease");
    if (
      this.#waiters.size === 0 &&
      this.#clock.now() - this.#waitedAt > FEED_LINGERS
    ) this.#feed.stop();
    await this.#look(options);
    return await this.#sweep(ttl, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end !== undefined) {
      return await this.#records[Symbol.asyncDispose]();
    }
    this.#finish(new ClosedError("Cannot use the connection: it is closed"));
    try {
      await this.#waiters.empty();
      await this.release(this.#unacked.all());
      await this.#leases.end();
    } catch {
      // Closing ends quietly: what is unacked goes back when the lease has expired.
    }
    await this.#records[Symbol.asyncDispose]();
  }

  destroy(): void {
    if (this.#records.destroy !== undefined) this.#records.destroy();
    else void this.#records[Symbol.asyncDispose]();
  }

  /** Calls that wait, or come later, reject with the error. */
  #finish(error: Error): void {
    this.#end = error;
    this.#waiters.notifyAll();
    this.#waiters.close();
    this.#waits.clear();
    this.#topology.close();
    this.#feed.close();
    this.#database.close();
  }

  async #take(
    wants: readonly ReserveWant[],
    waits: boolean,
  ): Promise<Reserved> {
    if (waits) await this.#lookAround();
    const isTold = waits && this.#feed.isRunning;
    const { topology } = this.#topology.view;
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
    for (const each of reservations) this.#unacked.add(each);
    if (failure !== undefined) {
      await this.release(reservations);
      throw failure.reason;
    }
    return { reservations, missing: missing.map(({ queue }) => queue) };
  }

  /** Does what a waiting connection does now and then. */
  async #lookAround(): Promise<void> {
    this.#waitedAt = this.#clock.now();
    if (this.#topologyIsOld || !this.#feed.isRunning) {
      this.#topologyIsOld = false;
      await this.#topology.look();
    }
    if (this.#untilSweep <= 0) await this.#sweep(0);
  }

  async #sweep(ttl: number, options?: CallOptions): Promise<readonly string[]> {
    this.#sweptAt = this.#clock.now();
    return await this.#leases.sweep(ttl, options);
  }

  get #untilSweep(): number {
    return this.#sweptAt + this.#lease / 2 - this.#clock.now();
  }

  /** Milliseconds until there may be something that no change tells. */
  #pause(queues: ReadonlySet<string>): number {
    const due = this.#taker.nextAt([...queues]) - this.#database.now();
    const { poll = POLL } = this.#records.limits;
    const rest = this.#feed.isRunning ? Infinity : poll;
    return Math.min(due, rest, this.#untilSweep);
  }

  async #listen(options: CallOptions): Promise<void> {
    if (this.#feed.isRunning) return;
    const starting = this.#feed.start().then(() => this.#taker.reset());
    await this.#bounded(starting, options, "listen to changes");
  }

  #onChange(id: string, revision: string, isRemoved: boolean): void {
    if (id === TOPOLOGY_ID) {
      if (revision === this.#topology.view.version) return;
      this.#topologyIsOld = true;
      return this.#waiters.notifyAll();
    }
    if (id.startsWith(LEASES)) {
      return this.#leases.onChange(id, revision, isRemoved);
    }
    const change = this.#taker.onChange(id, revision, isRemoved);
    if (change === "all") this.#waiters.notifyAll();
    else if (change !== undefined) this.#waiters.notify(change.queue);
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
        new TimeoutError(
          `Cannot ${action}: the database did not answer in time`,
          {
            outcome: "unknown",
          },
        ),
    );
  }

  #requireOpen(): void {
    if (this.#end !== undefined) throw this.#end;
  }
}
