import type { CallOptions } from "../../model/call_options.ts";
import { asError } from "../../model/error_text.ts";
import type {
  InspectionStore,
  MessageStore,
  PresenceStore,
  PutOptions,
  PutResult,
  QuarantinedItem,
  QuarantineStore,
  Reservation,
  Store,
  StoreItem,
  StoreLimits,
  TopologyKey,
  TopologyStore,
  TopologyView,
} from "../store/store.ts";
import { LOST, PUT } from "../store/store.ts";
import { putOnce } from "../store/put_once.ts";
import { Lifeline } from "../store/lifeline.ts";
import type {
  Capability,
  CloseReason,
  ConnectOptions,
  ServerInfo,
} from "../transport.ts";
import { Database, type WrittenRecord } from "./database.ts";
import { Declarations } from "./declarations.ts";
import { changeDelayed, type DelayedHost, listDelayed } from "./delayed.ts";
import { RecordsInspection } from "./inspection.ts";
import { Leases } from "./leases.ts";
import { largestBody, Putter } from "./putter.ts";
import { Marks } from "./marks.ts";
import { Quarantine } from "./quarantine.ts";
import { QueueContents } from "./queue_contents.ts";
import { Reserver } from "./reserver.ts";
import type { Records } from "./records.ts";
import { messageOf, RecordReservation } from "./reservation.ts";
import { Tables } from "./tables.ts";
import { Unacked } from "./unacked.ts";

/** How long a reserve waits, and by default a lease holds, ms. */
const [WAIT, LEASE] = [10_000, 30_000];

/** The purpose of settlements, for errors. */
const SETTLE = "settle messages";

/** All but a limit of length: to know how many messages lie in a queue is to read all of their names. */
const CAPABILITIES: readonly Capability[] = [
  "dead-letter",
  "dedupe",
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
  readonly messages: MessageStore;
  readonly topology: TopologyStore;
  readonly presence: PresenceStore = { heartbeat: this.#heartbeat.bind(this) };
  readonly quarantine: QuarantineStore = {
    add: this.#addToQuarantine.bind(this),
    list: this.#listQuarantine.bind(this),
    putBack: this.#putBack.bind(this),
  };
  readonly inspection: InspectionStore;
  readonly #records: Records;
  readonly #database: Database;
  readonly #lifeline: Lifeline;
  readonly #tables: Tables;
  readonly #declarations: Declarations;
  readonly #leases: Leases;
  readonly #reserver: Reserver;
  readonly #putter: Putter;
  readonly #marks: Marks;
  readonly #aside: Quarantine;
  readonly #contents: QueueContents;
  readonly #unacked: Unacked;

  private constructor(
    records: Records,
    { clock, owner }: Pick<ConnectOptions, "clock" | "owner">,
  ) {
    const { recordBytes, lease = LEASE } = records.limits;
    this.#records = records;
    this.capabilities = new Set<Capability>(
      records.isPersistent ? [...CAPABILITIES, "persistence"] : CAPABILITIES,
    );
    const server = "the database";
    const lifeline = this.#lifeline = new Lifeline({ clock, server });
    this.closed = lifeline.closed;
    this.limits = {
      itemBytes: largestBody(recordBytes),
      reserveCount: 500,
      reserveQueues: Infinity,
      reserveWait: WAIT,
      lease,
    };
    const database = this.#database = new Database(records, lifeline.limits);
    const topology = this.#tables = new Tables(database, lifeline);
    this.#contents = new QueueContents(database, topology);
    this.inspection = new RecordsInspection(database, topology);
    this.#unacked = new Unacked(
      database,
      topology,
      (id, revision) => this.#reserver.onChange(id, revision, false),
    );
    this.#declarations = new Declarations(
      database,
      topology,
      this.#contents,
      (queue) => this.#reserver.notify(queue),
    );
    this.#leases = new Leases(
      database,
      { owner, lease, clock },
      async (row) => void await this.#unacked.releaseRow(row),
    );
    this.#reserver = new Reserver({
      records,
      database,
      clock,
      lifeline,
      lease,
      topology,
      leases: this.#leases,
      unacked: this.#unacked,
    });
    this.#putter = new Putter(database, topology, recordBytes);
    this.#marks = new Marks(
      database,
      { limits: lifeline.limits, clock },
      (item) => this.#putter.idFor(item),
    );
    this.#aside = new Quarantine(database, this.#putter);
    this.messages = {
      count: this.#count.bind(this),
      purge: this.#contents.purge.bind(this.#contents),
      changeDelayed: this.#changeDelayed.bind(this),
      listDelayed: (queue, options) =>
        listDelayed(this.#delayedHost, queue, options),
      put: this.#put.bind(this),
      reserve: this.#reserver.reserve.bind(this.#reserver),
      remove: (all, options) =>
        lifeline.run(SETTLE, options, () => this.#unacked.remove(all)),
      release: (all, options) =>
        lifeline.run(SETTLE, options, () => this.#unacked.release(all)),
      renew: this.#renew.bind(this),
    };
    this.topology = {
      read: (of, options) => this.#read([of], options),
      readTogether: this.#read.bind(this),
      apply: (...call) =>
        lifeline.run(
          "change the declarations",
          call[2],
          () => this.#declarations.apply(...call),
        ),
    };
    void records.closed.then((reason) => {
      if (reason.type === "lost") lifeline.lose(reason.error);
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
      await store.#tables.look(options);
      await store.#leases.takeOver(options);
      return store;
    } catch (error) {
      store.#lifeline.lose(asError(error));
      await records[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #read(
    all: readonly TopologyKey[],
    options?: CallOptions,
  ): Promise<TopologyView> {
    const refusal = this.#lifeline.refusal("read the declarations", options);
    if (refusal !== undefined) throw refusal;
    const view = await this.#declarations.look(options);
    for (const { type, name, uses = true } of all) {
      if (type === "queue" && uses) await this.#declarations.use(name, options);
    }
    return view;
  }

  async #count(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    const { topology } = this.#tables.view;
    if (topology.queue(queue) === undefined) return undefined;
    return await this.#contents.count(queue, options);
  }

  async #put(
    items: readonly StoreItem[],
    options?: PutOptions,
  ): Promise<PutResult> {
    const { version, instead, mark } = options ?? {};
    if (version !== undefined) {
      const { routes } = await this.#declarations.look(options);
      if (routes !== version) return { type: "stale" };
    }
    if (mark !== undefined) {
      return await putOnce(this.#marks, mark, items, async (handles) => {
        const ids = new Map(handles);
        this.#announce(await this.#putter.put(items, options, ids));
        return PUT;
      }, options);
    }
    // Of one that was removed by an earlier call no second copy is put.
    if (instead !== undefined && !this.#unacked.has(instead)) return LOST;
    const written = await this.#putter.put(items, options);
    if (instead !== undefined) {
      const [lost] = await this.#goOnRemoving([instead], options);
      if (lost !== undefined) {
        const takingBack = this.#putter.takeBack(written);
        await this.#lifeline.wait("take back messages", options, takingBack);
        return LOST;
      }
    }
    this.#announce(written);
    return PUT;
  }

  #announce(written: readonly WrittenRecord[]): void {
    for (const { id, revision } of written) {
      this.#reserver.onChange(id, revision, false);
    }
  }

  get #delayedHost(): DelayedHost {
    return {
      database: this.#database,
      topology: this.#tables,
      putter: this.#putter,
    };
  }

  async #changeDelayed(
    ...call: Parameters<NonNullable<MessageStore["changeDelayed"]>>
  ): Promise<boolean> {
    const action = "change a delayed message";
    const refusal = this.#lifeline.refusal(action, call[3]);
    if (refusal !== undefined) throw refusal;
    const written = await changeDelayed(this.#delayedHost, ...call);
    for (const { id, revision } of written ?? []) {
      this.#reserver.onChange(id, revision, false);
    }
    return written !== undefined;
  }

  /** Removes messages as the last step of a call: it begins even if the deadline has passed meanwhile. */
  #goOnRemoving(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const removed = this.#unacked.remove(reservations);
    return this.#lifeline.wait(SETTLE, options, removed);
  }

  async #renew(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    await this.#renewLease(options);
    const lost = reservations.filter((each) =>
      each instanceof RecordReservation &&
      each.row.fields.holder !== this.#leases.name
    );
    for (const each of lost) this.#unacked.forget(each);
    return lost;
  }

  #renewLease(options?: CallOptions): Promise<void> {
    return this.#lifeline.run(
      "renew a lease",
      options,
      () => this.#leases.renew(),
    );
  }

  async #addToQuarantine(
    all: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const ours = all.filter((each) => each instanceof RecordReservation);
    await this.#aside.add(ours, options);
    return await this.#goOnRemoving(all, options);
  }

  async #listQuarantine(
    queue: string,
    limit: number,
    options?: CallOptions,
  ): Promise<readonly QuarantinedItem[]> {
    const rows = await this.#aside.list(queue, limit, options);
    return rows.map((row) => ({ handle: row.id, message: messageOf(row) }));
  }

  async #putBack(
    queue: string,
    handles: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number> {
    const back = await this.#aside.putBack(queue, handles, options);
    this.#announce(back);
    return back.length;
  }

  async #heartbeat(
    _owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    await this.#renewLease(options);
    this.#reserver.stopIfIdle();
    await this.#declarations.look(options);
    await this.#marks.sweep(options);
    return await this.#reserver.sweep(ttl, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lifeline.reason?.type === "lost") {
      return await this.#records[Symbol.asyncDispose]();
    }
    await this.#lifeline.close(() => this.#leave());
  }

  async serverInfo(options?: CallOptions): Promise<ServerInfo | undefined> {
    const action = "ask the server what it is";
    return await this.#records.serverInfo?.({ ...options, action });
  }

  native(): unknown {
    return this.#records.native?.();
  }

  destroy(): void {
    if (this.#records.destroy !== undefined) this.#records.destroy();
    else void this.#records[Symbol.asyncDispose]();
  }

  async #leave(): Promise<void> {
    try {
      const isKnown = await this.#reserver.drained();
      await this.#unacked.release(this.#unacked.all());
      // What may be held for nobody goes back when the lease has expired.
      if (isKnown) await this.#leases.end();
    } catch {
      // Closing ends quietly: what is unacked goes back when the lease has expired.
    }
    await this.#records[Symbol.asyncDispose]();
  }
}
