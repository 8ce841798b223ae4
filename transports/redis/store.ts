import { ClosedError } from "../../model/errors.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import type {
  BroadcastStore,
  ChangeResult,
  InspectionStore,
  MessageStore,
  QuarantineStore,
  Store,
  StoreLimits,
  TopologyStore,
} from "../store/store.ts";
import type {
  Capability,
  CloseReason,
  ConnectOptions,
  ServerInfo,
} from "../transport.ts";
import { refuseHeardOrder } from "../store/heard_order.ts";
import type { Peer } from "../peer.ts";
import type { Rates } from "../rates.ts";
import type { Caller } from "./client.ts";
import { decode } from "./reply.ts";
import { askServer, type Sockets } from "./connect.ts";
import type { Context } from "./context.ts";
import { changeDelayed, listDelayed } from "./delayed.ts";
import { Counts } from "./counts.ts";
import { Fanout } from "./fanout.ts";
import { ForeignQueues } from "./foreign_queues.ts";
import { RedisInspection } from "./inspection.ts";
import { News } from "./news.ts";
import type { RedisOptions } from "./options.ts";
import { Presence } from "./presence.ts";
import { Putter } from "./putter.ts";
import { Refusing } from "./refusing.ts";
import { Reserver } from "./reserver.ts";
import { Quarantine } from "./quarantine.ts";
import { Settlements } from "./settlements.ts";
import { Sweeper } from "./sweeper.ts";
import { Tables } from "./tables.ts";
import { useQueues } from "./usage.ts";

/** All but `queued-fanout`, which fanout by PUB/SUB alone lacks. */
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
  "persistence",
  "priority",
  "queue-ttl",
  "shared-topology",
];

/** How a connection hears of changes. */
export interface StoreSockets extends Pick<Sockets, "rings" | "socket"> {
  readonly listener: Caller;
}

/** A connection to a Redis server. */
export class RedisStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly messages: MessageStore;
  readonly topology: TopologyStore;
  readonly presence: Presence;
  readonly broadcasts: BroadcastStore;
  readonly quarantine: QuarantineStore;
  readonly rates: Rates;
  readonly inspection: InspectionStore;
  readonly #context: Context;
  readonly #listener: Caller;
  readonly #owner: string;
  readonly #news: News;
  readonly #putter: Putter;
  readonly #reserver: Reserver;
  readonly #tables: Tables;
  readonly #counts: Counts;
  readonly #fanout: Fanout;
  readonly #sweeper: Sweeper;
  readonly #refusing: Refusing;
  readonly #hasOthers: boolean;
  readonly #operationTimeout: number;
  readonly #visibilityTimeout: number;
  #stopSweeps: (() => void) | undefined;
  #over = false;
  #closing: Promise<void> | undefined;

  /** Makes one over two sockets: of commands, and of what the server tells. */
  constructor(
    context: Context,
    { listener, rings, socket }: StoreSockets,
    redis: RedisOptions,
    options: ConnectOptions,
  ) {
    this.#context = context;
    this.#listener = listener;
    this.#owner = options.owner;
    this.#hasOthers = options.hasOthers ?? false;
    this.#operationTimeout = options.operationTimeout;
    this.#visibilityTimeout = redis.visibilityTimeout;
    this.capabilities = new Set<Capability>(
      redis.fanout === "queue"
        ? [...CAPABILITIES, "queued-fanout"]
        : CAPABILITIES,
    );
    this.limits = {
      // Redis' 512 MiB for a value, less what base64 adds, and a margin.
      itemBytes: 256 * 2 ** 20,
      // A server does nothing else meanwhile; and what came is handled while the next is taken.
      reserveCount: 100,
      // In a cluster each is asked by itself.
      reserveQueues: context.isSharded ? 50 : 500,
      reserveWait: 5000,
      lease: redis.visibilityTimeout,
    };
    const { fanout, queueOrderStrategy: strategy } = redis;
    const news = this.#news = new News(context);
    const tables = this.#tables = new Tables(context, rings);
    this.#counts = new Counts(context);
    const foreign = new ForeignQueues(context);
    this.#fanout = new Fanout(context, news, tables, listener, fanout, options);
    const settlements = new Settlements(context, news, this.#fanout);
    const refusing = this.#refusing = new Refusing(options.onEvent);
    this.#reserver = new Reserver(context, news, this.#fanout, settlements, {
      strategy,
      rings,
      refusing,
      refresh: async () => {
        await tables.read({ type: "owner", name: this.#owner });
        await this.#follow();
      },
    });
    this.#putter = new Putter(context, news, settlements);
    this.#sweeper = new Sweeper(context, news, tables, redis, socket);
    this.messages = {
      count: this.#count.bind(this),
      purge: this.#purge.bind(this),
      changeDelayed: this.#changeDelayed.bind(this),
      listDelayed: (queue, options) => listDelayed(context, queue, options),
      put: this.#putter.put.bind(this.#putter),
      reserve: this.#reserver.reserve.bind(this.#reserver),
      remove: settlements.remove.bind(settlements),
      release: settlements.release.bind(settlements),
      renew: settlements.renew.bind(settlements),
      promoteDue: this.#promoteDue.bind(this),
    };
    this.topology = {
      read: tables.read.bind(tables),
      readTogether: tables.readTogether.bind(tables),
      apply: this.#apply.bind(this),
      findQueue: foreign.find.bind(foreign),
    };
    this.presence = new Presence(
      context,
      { sweeper: this.#sweeper, tables, refusing },
      options.operationTimeout,
    );
    this.broadcasts = this.#fanout;
    this.quarantine = new Quarantine(context, news, settlements);
    this.rates = { admit: this.#admit.bind(this) };
    this.inspection = new RedisInspection(context, tables, this.#fanout);
    // The one is of no use without the other.
    const first = Promise.race([context.commands.closed, listener.closed]);
    this.closed = first.then(async (reason) => {
      const error = reason.type === "lost" ? reason.error : new ClosedError(
        "Cannot reserve messages: the connection is closed",
      );
      this.#over = true;
      this.#stopSweeps?.();
      this.presence.stop();
      this.#reserver.close(error);
      this.#fanout.close();
      context.limits.end(() => error);
      for (const client of [context.commands, listener]) {
        if (reason.type === "lost") client.destroy(error);
        await client[Symbol.asyncDispose]();
      }
      return reason;
    });
  }

  /** Listens, and gives back what an earlier connection of its owner held. */
  async open(options: CallOptions): Promise<void> {
    this.#listener.listen({
      changed: (keys) => this.#changed(keys),
      message: (channel, pattern, body) =>
        this.#fanout.arrive(channel, pattern, body),
    });
    await this.presence.begin(options, this.#hasOthers);
    this.#sweepLater();
  }

  async #apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    if (this.#fanout.putsInto === undefined) {
      refuseHeardOrder(changes, this.#context.mirror.topology, "pubsub");
    }
    const result = await this.#tables.apply(changes, version, options);
    if (result.type === "applied") {
      await this.#follow(options);
      this.#reserver.lookAgain();
    }
    return result;
  }

  /** Listens on the channels of the fanout exchanges that our consumers' queues are bound to. */
  async #follow(options?: CallOptions): Promise<void> {
    await this.#fanout.follow(this.#owner, options);
  }

  async #count(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    const count = await this.#counts.of(queue, options) +
      this.#fanout.count(queue);
    // The script has moved messages that became due: nobody else notifies our consumers.
    if (count > 0) this.#news.ring(queue);
    const { topology } = this.#context.mirror;
    if (count === 0 && topology.queue(queue) === undefined) return undefined;
    // A count is a use of the queue.
    await useQueues(this.#context, [queue], options);
    return count;
  }

  async #purge(queue: string, options?: CallOptions): Promise<number> {
    const action = `purge queue "${queue}"`;
    const reply = await this.#context.run("purge", action, [queue], options);
    return Number(reply) + this.#fanout.purge(queue);
  }

  async #changeDelayed(
    ...call: Parameters<NonNullable<MessageStore["changeDelayed"]>>
  ): Promise<boolean> {
    const isThere = await changeDelayed(this.#context, ...call);
    if (isThere && call[2] !== undefined) this.#news.ringDue();
    return isThere;
  }

  async #admit(...call: Parameters<Rates["admit"]>): Promise<number> {
    const [queue, key, { limit, interval }, options] = call;
    const { layout } = this.#context;
    const reply = await this.#context.run(
      "admit",
      `count a handler of queue "${queue}"`,
      [layout.rate(queue, key), limit, Math.ceil(interval * 1000)],
      { ...options, queueOf: () => queue },
    );
    return Number(reply) / 1000;
  }

  async #promoteDue(
    _queues: readonly string[],
    options?: CallOptions,
  ): Promise<number> {
    const sentAt = this.#context.clock.now();
    const [now, next, moved] = await this.#context.runList(
      "ripen",
      "bring due messages into sight",
      [],
      options,
    );
    this.#context.setServerNow(now, sentAt);
    for (const queue of Array.isArray(moved) ? moved : []) {
      this.#news.ring(decode(queue));
    }
    return Number(next) < 0 ? Infinity : Number(next);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  serverInfo(options?: CallOptions): Promise<ServerInfo> {
    return askServer(this.#context.commands, options);
  }

  peer(): Peer | undefined {
    return this.#context.commands.peer;
  }

  native(): unknown {
    return this.#context.commands.native;
  }

  destroy(): void {
    const error = new ClosedError("Cannot go on: the connection is closed");
    for (const client of [this.#context.commands, this.#listener]) {
      client.destroy(error);
    }
  }

  async #close(): Promise<void> {
    this.#stopSweeps?.();
    this.presence.stop();
    this.#refusing.close();
    this.#putter.flush();
    await this.#fanout.idle();
    const { clock, commands } = this.#context;
    try {
      await this.#sweeper.forget([this.#owner], {
        deadline: clock.now() + this.#operationTimeout,
      });
    } catch {
      // Closing ends quietly: it will be missed.
    }
    await commands[Symbol.asyncDispose]();
    await this.#listener[Symbol.asyncDispose]();
    await this.closed;
  }

  #changed(keys: readonly string[] | undefined): void {
    const { layout, mirror } = this.#context;
    if (keys === undefined) {
      mirror.doubtAll();
      this.#context.tell();
      this.#context.ringDue();
      this.#news.ringTables();
      this.#news.ringAll();
      return;
    }
    for (const key of keys) {
      const due = layout.dueIn(key);
      if (due !== undefined) this.#context.ringDue(due);
      if (due !== undefined || key === layout.due) this.#news.ringDue();
      else if (key === layout.topology) {
        this.#context.tell();
        this.#news.ringTables();
      } else {
        this.#tables.doubt(key);
        this.#news.ringList(key);
      }
    }
  }

  /** Twice in the time after which a message may be taken from its holder, so that it is not late. */
  #sweepLater(): void {
    const interval = Math.min(this.#visibilityTimeout / 2, 60_000);
    const { clock } = this.#context;
    this.#stopSweeps = clock.timer(() => {
      const deadline = clock.now() + this.#operationTimeout;
      // A failed sweep is repeated by the next; a lost connection ends them all.
      this.#sweeper.sweep({ deadline }).catch(() => {}).then(() => {
        if (!this.#over && this.#closing === undefined) this.#sweepLater();
      });
    }, interval);
  }
}
