import type { CallOptions } from "../../model/call_options.ts";
import { ConnectionError, MessagingError } from "../../model/errors.ts";
import type { Rate } from "../../async/windows.ts";
import type { OutboxRows } from "../outbox.ts";
import type { Peer } from "../peer.ts";
import type { Rates } from "../rates.ts";
import type { ServerInfo } from "../server_info.ts";
import { OWNER_TTL } from "../store/leases.ts";
import { Lifeline } from "../store/lifeline.ts";
import type {
  InspectionStore,
  MessageStore,
  PresenceStore,
  PutOptions,
  PutResult,
  QuarantineStore,
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
  Store,
  StoreItem,
  StoreLimits,
  TopologyStore,
  TransactionStore,
} from "../store/store.ts";
import type { Capability, CloseReason, ConnectOptions } from "../transport.ts";
import { notAnswered } from "../connection_errors.ts";
import { Admin } from "./admin.ts";
import { listDelayed } from "./delayed.ts";
import { Holder } from "./holder.ts";
import { HeadWriter } from "./message.ts";
import { outboxOf } from "./outbox.ts";
import type { Sql } from "./port.ts";
import { Putter } from "./putter.ts";
import { Settlements } from "./settlements.ts";
import { SqlTables } from "./tables.ts";
import { Taker } from "./taker.ts";
import { transactionsOf } from "./transactions.ts";
import { Watch } from "./watch.ts";
import type { DoOptions, Verb, Works } from "./works.ts";

const CAPABILITIES: readonly Capability[] = [
  "dead-letter",
  "dedupe",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "key-fairness",
  "key-order",
  "known-queues",
  "lease",
  "length-limit",
  "message-ttl",
  "priority",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
  "wide-priority",
];

/** Bytes of a message besides its body, about. */
const OVERHEAD = 400;

/** Calls after which a message may come again, as it may without them. */
const LAZY: DoOptions = { lazy: true };

/** The options of a connection that its store uses. */
export type SqlStoreOptions =
  & Pick<ConnectOptions, "clock" | "owner" | "operationTimeout">
  & {
    /** How long what was taken stays with a connection that is not heard of, ms. */
    readonly lease: number;
  };

/** A connection to the tables of one database. */
export class SqlStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly messages: MessageStore;
  readonly topology: TopologyStore;
  readonly presence: PresenceStore;
  readonly quarantine: QuarantineStore;
  readonly rates: Rates;
  readonly inspection: InspectionStore;
  readonly notifier: Watch;
  readonly transactions: TransactionStore | undefined;
  readonly outbox: OutboxRows | undefined;
  readonly #sql: Sql;
  readonly #works: Works;
  readonly #owner: string;
  readonly #lifeline: Lifeline;
  readonly #heads = new HeadWriter();
  readonly #putter: Putter;
  readonly #taker: Taker;
  readonly #settlements: Settlements;
  readonly #admin: Admin;
  readonly #tables: SqlTables;

  /** Makes one over a database, whose transactions `works` makes. */
  constructor(sql: Sql, works: Works, options: SqlStoreOptions) {
    const { clock, owner, operationTimeout, lease } = options;
    this.#sql = sql;
    this.#works = works;
    this.#owner = owner;
    this.#lifeline = new Lifeline({ clock, operationTimeout });
    this.closed = this.#lifeline.closed;
    this.capabilities = new Set<Capability>(
      sql.isPersistent ? [...CAPABILITIES, "persistence"] : CAPABILITIES,
    );
    this.limits = {
      itemBytes: sql.itemBytes,
      reserveCount: 500,
      settleCount: 500,
      reserveQueues: Infinity,
      reserveWait: Infinity,
      lease,
    };
    const now = () => sql.now();
    const tables = this.#tables = new SqlTables(now);
    const holder = new Holder(owner, lease, now);
    const taker = this.#taker = new Taker({ tables, holder, now });
    const settlements = this.#settlements = new Settlements(now);
    this.#putter = new Putter({ tables, taker, settlements, now });
    const admin = this.#admin = new Admin({ tables, holder, owner, now });
    const watch = new Watch({ sql, clock, tables });
    this.notifier = watch;
    this.#lifeline.onEnd(({ type }) => {
      watch.end();
      if (type === "lost") this.destroy();
    });
    void sql.lost?.then((error) => this.#lifeline.lose(error));
    // A message that was acked is not to come again where something is killed.
    const settled = sql.keepsLazy ? LAZY : undefined;
    const settle = (
      action: string,
      verb: Verb<readonly Reservation[], readonly Reservation[]>,
    ) =>
    (
      all: readonly Reservation[],
      call?: CallOptions,
    ) => this.#do(action, verb, all, call, settled);
    this.messages = {
      count: (queue, call) =>
        this.#do(
          `count the messages of queue "${queue}"`,
          admin.count,
          queue,
          call,
        ),
      purge: (queue, call) =>
        this.#do(`purge queue "${queue}"`, admin.purge, queue, call),
      changeDelayed: (queue, messageId, delay, call) =>
        this.#do(
          "change a delayed message",
          admin.changeDelayed,
          { queue, messageId, delay },
          call,
        ),
      listDelayed: (queue, call) => {
        const action = `list the delayed messages of queue "${queue}"`;
        return listDelayed({
          now,
          read: (after, limit) =>
            this.#do(action, admin.delayed, { queue, after, limit }, call),
          remove: (place, options) =>
            this.#do(action, admin.removeDelayed, place, options),
        });
      },
      put: (...call) => this.#put(...call),
      reserve: (...call) => this.#reserve(...call),
      remove: settle("settle messages", settlements.remove),
      release: (reservations, call) =>
        this.#do(
          "release messages",
          settlements.release,
          { reservations, options: call, isUnseen: false },
          call,
          LAZY,
        ),
      renew: settle("renew a lease", admin.renew),
    };
    this.topology = {
      read: (of, call) =>
        this.#do("read the declarations", admin.read, [of], call),
      readTogether: (all, call) =>
        this.#do("read the declarations", admin.read, all, call),
      apply: (changes, version, call) =>
        this.#do(
          "change the declarations",
          admin.apply,
          { changes, version },
          call,
          { alone: () => true },
        ),
    };
    this.presence = {
      heartbeat: (owner, ttl, call) =>
        this.#do(
          "say that we are alive",
          admin.beat,
          { owner, ttl },
          call,
          LAZY,
        ),
    };
    this.quarantine = {
      add: settle("put messages into quarantine", settlements.setAside),
      list: (queue, max, call) =>
        this.#do(
          `list the quarantine of queue "${queue}"`,
          admin.listAside,
          { queue, max },
          call,
        ),
      putBack: (queue, handles, call) =>
        this.#do(
          `put messages back into queue "${queue}"`,
          admin.putBack,
          { queue, handles },
          call,
        ),
    };
    this.rates = {
      admit: (queue: string, key: string, rate: Rate, call?: CallOptions) =>
        this.#do(
          "count what begins",
          admin.admit,
          { name: JSON.stringify([queue, key]), rate },
          call,
        ),
    };
    this.transactions = transactionsOf(sql, this.#putter, this.#heads, now);
    this.outbox = outboxOf(sql, (...call) => this.#do(...call));
    this.inspection = {
      look: (queues, call) =>
        this.#do("look at queues", admin.look, queues, call),
      peek: (queue, max, call) =>
        this.#do(`peek at queue "${queue}"`, admin.peek, { queue, max }, call),
    };
  }

  /** Gives back what an earlier connection of the owner held, and begins. */
  async open(options: CallOptions): Promise<void> {
    await this.#do(
      "open the tables",
      this.#admin.begin,
      { owner: this.#owner, ttl: OWNER_TTL },
      options,
      { alone: () => true },
    );
  }

  #do<C, R>(
    action: string,
    verb: Verb<C, R>,
    call: C,
    options: CallOptions | undefined,
    more?: DoOptions,
  ): Promise<R> {
    const refusal = this.#lifeline.refusal(action, options);
    if (refusal !== undefined) return Promise.reject(refusal);
    return this.#works.do(
      action,
      verb,
      call,
      this.#lifeline.limited(options),
      // Queues may go with time wherever the tables are read.
      this.#tables.expire ? { ...more, alone: () => true } : more,
    ).catch(this.#onFailed);
  }

  /** A database that fails is opened again by the library. */
  readonly #onFailed = (error: unknown): never => {
    if (error instanceof ConnectionError) this.#lifeline.lose(error);
    throw error;
  };

  #put(
    items: readonly StoreItem[],
    options?: PutOptions,
  ): Promise<PutResult> {
    let bytes = 0;
    const heads: string[] = [];
    try {
      for (const [i, { message }] of items.entries()) {
        const same = i > 0 && items[i - 1]?.message === message;
        heads.push(same ? heads[i - 1] ?? "" : this.#heads.write(message));
        bytes += message.body.length + OVERHEAD;
      }
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#do(
      "publish a message",
      this.#putter.put,
      { items, heads, options },
      options,
      { bytes },
    );
  }

  /** A call that is called off gives back what it took, and nobody has seen that. */
  async #reserve(
    wants: readonly ReserveWant[],
    { signal, deadline }: ReserveOptions,
  ): Promise<Reserved> {
    const action = "reserve messages";
    const refusal = this.#lifeline.refusal(action, { signal, deadline });
    if (refusal !== undefined) throw refusal;
    const isOver = this.notifier.takes();
    const taking = this.#do(
      action,
      this.#taker.reserve,
      wants,
      undefined,
      LAZY,
    );
    try {
      return await this.#lifeline.limits.wait(
        taking,
        { signal, deadline },
        () => this.#works.late(action),
      );
    } catch (error) {
      taking.then(({ reservations }) =>
        this.#works.do(
          "release messages",
          this.#settlements.release,
          { reservations, options: undefined, isUnseen: true },
        )
      ).catch(() => {}); // they come again when we are missed
      throw error;
    } finally {
      isOver();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lifeline.close(() => this.#leave());
  }

  destroy(): void {
    this.#lifeline.end();
    if (this.#sql.destroy !== undefined) this.#sql.destroy();
    else void this.#sql[Symbol.asyncDispose]();
  }

  async serverInfo(options?: CallOptions): Promise<ServerInfo> {
    const action = "ask the server what it is";
    const refusal = this.#lifeline.refusal(action, options);
    if (refusal !== undefined) throw refusal;
    return await this.#lifeline.limits.wait(
      this.#sql.serverInfo(),
      this.#lifeline.limited(options),
      () => notAnswered(action, "not-sent", "the database"),
    ).catch(this.#onFailed);
  }

  peer(): Peer | undefined {
    return this.#sql.peer?.();
  }

  native(): unknown {
    return this.#sql.native();
  }

  async #leave(): Promise<void> {
    try {
      await this.#works.do("leave", this.#admin.end, this.#owner);
    } catch (error) {
      // Closing ends quietly: what is unsettled goes back when we are missed.
      if (!(error instanceof MessagingError)) throw error;
    } finally {
      await this.#sql[Symbol.asyncDispose]();
    }
  }
}
