import type { CallOptions } from "../../model/call_options.ts";
import { MessagingError } from "../../model/errors.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import { consumersLeftBy } from "../store/changes.ts";
import type {
  BroadcastStore,
  ChangeResult,
  InspectionStore,
  MessageStore,
  PresenceStore,
  QuarantineStore,
  Store,
  StoreLimits,
  TopologyKey,
  TopologyStore,
  TopologyView,
} from "../store/store.ts";
import type { Capability, CloseReason, ServerInfo } from "../transport.ts";
import type { Rates } from "../rates.ts";
import { refuseHeardOrder } from "../store/heard_order.ts";
import { OWNER_TTL } from "../store/leases.ts";
import { Fanout } from "./fanout.ts";
import { Claims } from "./claims.ts";
import type { Context } from "./context.ts";
import { changeDelayed, listDelayed } from "./delayed.ts";
import { MongodbInspection } from "./inspection.ts";
import { Usage } from "./usage.ts";
import { readyFilters, waitingFilter } from "./lane_documents.ts";
import { LaneReturns } from "./lane_returns.ts";
import { Lanes } from "./lanes.ts";
import { Owners } from "./owners.ts";
import type { Fields } from "./port.ts";
import { Putter } from "./putter.ts";
import { Quarantine } from "./quarantine.ts";
import { MongodbRates } from "./rates.ts";
import { Reserver } from "./reserver.ts";
import { Settlements } from "./settlements.ts";
import { MongodbTables } from "./tables.ts";

const CAPABILITIES: ReadonlySet<Capability> = new Set<Capability>([
  "dead-letter",
  "dedupe",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "key-fairness",
  "key-order",
  "known-queues",
  "lease",
  "message-ttl",
  "persistence",
  "priority",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
]);

/** A database of MongoDB as a store. */
export class MongodbStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly messages: MessageStore;
  readonly topology: TopologyStore;
  readonly presence: PresenceStore;
  /** There if fanout exchanges are not to be routed to queues. */
  readonly broadcasts: BroadcastStore | undefined;
  readonly quarantine: QuarantineStore;
  readonly rates: Rates;
  readonly inspection: InspectionStore;
  readonly #context: Context;
  readonly #owner: string;
  readonly #tables: MongodbTables;
  readonly #lanes: Lanes;
  readonly #claims: Claims;
  readonly #reserver: Reserver;
  readonly #owners: Owners;
  readonly #usage: Usage;
  readonly #fanout: Fanout | undefined;

  /** Makes a store of an open client. */
  constructor(context: Context, owner: string) {
    this.closed = context.lifeline.closed;
    this.#context = context;
    this.#owner = owner;
    const broadcasts = context.settings.broadcasts
      ? new Fanout(context, () => this.#tables.view.topology)
      : undefined;
    this.broadcasts = this.#fanout = broadcasts;
    this.capabilities = broadcasts === undefined
      ? CAPABILITIES
      : new Set([...CAPABILITIES].filter((each) => each !== "queued-fanout"));
    this.limits = {
      // Base64 makes four bytes of three, and headers need room.
      itemBytes: 12_000_000,
      reserveCount: 1000,
      reserveQueues: 100,
      reserveWait: 5000,
      lease: context.settings.lease,
    };
    const tables = this.#tables = new MongodbTables(context, owner);
    this.inspection = new MongodbInspection(context, tables);
    this.rates = new MongodbRates(context);
    const lanes = this.#lanes = new Lanes(context, tables.view, owner);
    const returns = new LaneReturns(context, lanes);
    const claims = this.#claims = new Claims(context, lanes, returns, owner);
    const reserver = new Reserver(context, claims, broadcasts, tables);
    this.#reserver = reserver;
    this.#owners = new Owners(context);
    const usage = this.#usage = new Usage(context, tables);
    const putter = new Putter(context, tables, lanes, claims, reserver, usage);
    const settlements = new Settlements(context, lanes, returns, reserver);
    this.messages = {
      count: this.#count.bind(this),
      purge: this.#purge.bind(this),
      changeDelayed: this.#changeDelayed.bind(this),
      listDelayed: (queue, options) => listDelayed(context, queue, options),
      put: putter.put.bind(putter),
      reserve: reserver.reserve.bind(reserver),
      remove: settlements.remove.bind(settlements),
      release: settlements.release.bind(settlements),
      renew: settlements.renew.bind(settlements),
      promoteDue: this.#promoteDue.bind(this),
    };
    this.topology = {
      read: this.#read.bind(this),
      readTogether: this.#readTogether.bind(this),
      apply: this.#apply.bind(this),
      findQueue: tables.findQueue.bind(tables),
    };
    this.presence = { heartbeat: this.#heartbeat.bind(this) };
    this.quarantine = new Quarantine(context, settlements, reserver);
    context.lifeline.onEnd(({ type }) => {
      if (type !== "lost") return;
      context.client.destroy();
      void this.#hangUp();
    });
  }

  /** Makes collections and indexes, and gives back what an earlier connection of the owner held. */
  async open(options: CallOptions): Promise<void> {
    const { client, settings: { names, ttl } } = this.#context;
    await Promise.all([
      this.#context.readTime(options),
      this.#tables.begin(options),
    ]);
    await Promise.all([
      this.#tables.open(options),
      this.#context.call("open the messages", options, () =>
        Promise.all([
          client.ensureIndex(names.messages, { queue: 1, priority: 1, _id: 1 }),
          client.ensureIndex(names.messages, { claim: 1 }, { sparse: true }),
          client.ensureIndex(names.messages, { dead_at: 1 }, { sparse: true }),
          ...(ttl
            ? [client.ensureIndex(names.messages, { expire_at: 1 }, {
              expireAfterSeconds: 0,
            })]
            : []),
        ])),
      this.#owners.beat(this.#owner, OWNER_TTL, options),
      this.#openBroadcasts(options),
    ]);
    // With the tables, which tell whether any queue is ordered.
    await this.#dropOldConsumers(options);
    await this.#claims.restoreOwner(this.#owner);
  }

  /** Kombu's capped collection, as Kombu makes it. */
  async #openBroadcasts(options: CallOptions): Promise<void> {
    if (this.#fanout === undefined) return;
    const { client, settings: { names, cappedQueueSize } } = this.#context;
    await this.#context.call("open the broadcasts", options, async () => {
      await client.ensureCapped(names.broadcast, cappedQueueSize);
      await client.ensureIndex(names.broadcast, { queue: 1 });
    });
  }

  /** Of a connection that was lost: its session consumes again by itself. */
  async #dropOldConsumers(options: CallOptions): Promise<void> {
    const key = { type: "owner", name: this.#owner } as const;
    for (;;) {
      const { topology, version } = await this.#tables.read(key, options);
      const changes = consumersLeftBy(topology, this.#owner);
      if (changes.length === 0) return;
      const { type } = await this.#tables.apply(changes, version, options);
      if (type === "applied") return;
    }
  }

  async #read(
    of: TopologyKey,
    options?: CallOptions,
  ): Promise<TopologyView> {
    const view = await this.#tables.read(of, options);
    if (of.type !== "queue" || of.uses === false) return view;
    return await this.#usage.use(of.name, view, options);
  }

  async #readTogether(
    all: readonly TopologyKey[],
    options?: CallOptions,
  ): Promise<TopologyView> {
    const view = await this.#tables.readTogether(all, options);
    for (const { type, name, uses = true } of all) {
      if (type !== "queue" || !uses) continue;
      const after = await this.#usage.use(name, view, options);
      // A queue whose time was over has gone: all of it is another view.
      if (after !== view) return await this.#tables.readTogether(all, options);
    }
    return view;
  }

  async #apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    if (this.#fanout !== undefined) {
      refuseHeardOrder(changes, this.#tables.view.topology, "broadcast");
    }
    // A change that has begun goes on after its caller's deadline: half of it helps nobody.
    const result = await this.#context.call(
      "change the tables",
      options,
      () => this.#tables.apply(changes, version, options),
    );
    if (result.type !== "applied") return result;
    const deleted: string[] = [];
    const declared: string[] = [];
    for (const change of changes) {
      if (change.type === "queue-deleted") deleted.push(change.name);
      else if (change.type === "queue-declared") {
        declared.push(change.queue.name);
      } else if (change.type === "consumer-added") declared.push(change.queue);
    }
    await this.#context.call(
      "listen to broadcasts",
      options,
      () => this.#listen(changes),
    );
    this.#reserver.noteDeclared(declared);
    this.#reserver.noteDeleted(deleted);
    return result;
  }

  /** Listens for queues that we consume from, from the moment when we do. */
  async #listen(changes: readonly TopologyChange[]): Promise<void> {
    const broadcasts = this.#fanout;
    if (broadcasts === undefined) return;
    for (const change of changes) {
      const queue = "queue" in change ? change.queue : undefined;
      if (typeof queue !== "string") continue;
      if (change.type === "consumer-added") await broadcasts.listen(queue);
      else if (change.type === "consumer-removed") {
        await broadcasts.leave(queue);
      }
    }
  }

  async #count(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    const { client, settings: { names } } = this.#context;
    const count = (filter: Readonly<Record<string, unknown>>) =>
      this.#context.call(
        `count the messages of queue "${queue}"`,
        options,
        () => client.count(names.messages, filter),
      );
    const now = new Date(this.#context.now());
    // All by the index alone, less those that nobody has removed yet.
    const countIn = async (place: Fields, dies: string) => {
      const [all, expired, dead] = await Promise.all([
        count(place),
        count({ ...place, expire_at: { $lte: now } }),
        count({ ...place, [dies]: { $lte: now } }),
      ]);
      return all - expired - dead;
    };
    let found = await countIn({ queue }, "dead_at");
    if (this.#lanes.isOrdered(queue)) {
      found += await countIn(waitingFilter(queue), "dies_at");
    }
    return found > 0 || this.#tables.view.topology.queue(queue) !== undefined
      ? Math.max(found, 0)
      : undefined;
  }

  async #purge(queue: string, options?: CallOptions): Promise<number> {
    const { client, settings: { names } } = this.#context;
    return await this.#context.call(
      `purge queue "${queue}"`,
      options,
      () =>
        client.remove(
          names.messages,
          readyFilters(queue, this.#lanes.isOrdered(queue)),
        ),
    );
  }

  async #changeDelayed(
    ...call: Parameters<NonNullable<MessageStore["changeDelayed"]>>
  ): Promise<boolean> {
    const due = await changeDelayed(this.#context, ...call);
    if (due !== undefined && due > 0) {
      this.#reserver.noteDue(due);
      this.#reserver.notePut([call[0]]);
    }
    return due !== undefined;
  }

  async #promoteDue(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<number> {
    const all = new Set(queues);
    for (const { declaration } of this.#tables.view.topology.queues()) {
      all.add(declaration.name);
    }
    const next = await this.#claims.ripen([...all], options);
    this.#reserver.notePut(queues);
    return next;
  }

  async #heartbeat(
    owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    await this.#context.readTime(options);
    const wasDead = await this.#owners.beat(owner, ttl, options);
    const dead = await this.#owners.findDead(ttl, options);
    for (const each of dead) await this.#claims.restoreOwner(each);
    await this.#usage.sweep(owner, options);
    await this.#tables.forgetGone(options);
    return wasDead ? [owner, ...dead] : dead;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#context.lifeline.close(() => this.#close());
  }

  serverInfo(options?: CallOptions): Promise<ServerInfo> {
    return this.#context.askServer(options);
  }

  native(): unknown {
    return this.#context.client.native;
  }

  destroy(): void {
    this.#context.client.destroy();
  }

  async #close(): Promise<void> {
    try {
      // Restores the messages that were claimed and never delivered, and those that were
      // not settled.
      await this.#claims.restoreOwner(this.#owner);
      await this.#owners.forget(this.#owner);
    } catch (error) {
      // Closing ends quietly: the rest is removed when the owner has expired.
      if (!(error instanceof MessagingError)) throw error;
    }
    await this.#hangUp();
  }

  async #hangUp(): Promise<void> {
    await this.#fanout?.close();
    await this.#context.client[Symbol.asyncDispose]();
  }
}
