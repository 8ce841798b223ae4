import type { CallOptions } from "../../model/call_options.ts";
import { MessagingError } from "../../model/errors.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import { Database } from "../records/database.ts";
import { Declarations } from "../records/declarations.ts";
import { Tables } from "../records/tables.ts";
import type { Peer } from "../peer.ts";
import { putOnce } from "../store/put_once.ts";
import {
  type InspectionStore,
  LOST,
  type MessageStore,
  type PresenceStore,
  PUT,
  type PutOptions,
  type PutResult,
  type QuarantineStore,
  type QueueNotifier,
  type Reservation,
  STALE,
  type Store,
  type StoreItem,
  type StoreLimits,
  type TopologyKey,
  type TopologyStore,
  type TopologyView,
} from "../store/store.ts";
import type { Capability, CloseReason, ServerInfo } from "../transport.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { NatsContext } from "./context.ts";
import { peerIn } from "./dial_client.ts";
import { isFull, translate } from "./errors.ts";
import { Expiry } from "./expiry.ts";
import { Contents } from "./inspection.ts";
import { Marks } from "./marks.ts";
import { HEADER_ROOM } from "./message.ts";
import { Presence } from "./presence.ts";
import { Putter } from "./putter.ts";
import { Queues } from "./queues.ts";
import { Bucket } from "./records.ts";
import { Reserver, WAIT } from "./reserver.ts";
import type { NatsReservation } from "./reservation.ts";
import { Settlements } from "./settlements.ts";

const SETTLE = "settle messages";

/** The most that one reserve returns. */
const MAX_RESERVE = 1000;

/** The longest name of a queue: a stream's has 255 bytes, its prefix 32. */
const MAX_NAME = 200;

/** A message that was held when its connection was lost: the subject of its ack, and whether it was being acked. */
export type Left = Pick<NatsReservation, "ack" | "isDone">;

/** A connection to NATS: queues are streams of JetStream, and what is declared is in a bucket of keys and values. */
export class NatsStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly messages: MessageStore;
  readonly notifier: QueueNotifier;
  readonly topology: TopologyStore;
  readonly presence: PresenceStore;
  readonly inspection: InspectionStore;
  readonly quarantine: QuarantineStore;
  readonly #context: NatsContext;
  readonly #bucket: Bucket;
  readonly #tables: Tables;
  readonly #declarations: Declarations;
  readonly #queues: Queues;
  readonly #settlements: Settlements;
  readonly #reserver: Reserver;
  readonly #putter: Putter;
  readonly #expiry: Expiry;
  readonly #marks: Marks;
  readonly #presence: Presence;

  /** Makes one; it is to be opened. */
  constructor(context: NatsContext) {
    const { client, settings, clock, lifeline, heartbeat } = this.#context =
      context;
    const wait = heartbeat > 0 ? Math.min(WAIT, heartbeat) : WAIT;
    const { delays } = client;
    this.closed = lifeline.closed;
    this.capabilities = capabilitiesOf(delays);
    this.limits = {
      itemBytes: client.maxPayload - HEADER_ROOM,
      reserveCount: MAX_RESERVE,
      reserveQueues: Infinity,
      reserveWait: wait,
      lease: settings.lease,
      queueNameBytes: MAX_NAME,
    };
    const bucket = this.#bucket = new Bucket(context);
    const database = new Database(bucket, lifeline.limits);
    const tables = this.#tables = new Tables(database, lifeline);
    const settlements = this.#settlements = new Settlements(context);
    const presence = this.#presence = new Presence(
      context,
      bucket,
      tables,
      settlements,
    );
    const queues = this.#queues = new Queues(
      context,
      tables,
      bucket,
      (queue) => presence.held(queue),
    );
    this.#declarations = new Declarations(
      database,
      tables,
      {
        count: (queue) => queues.count(queue),
        delete: (queue, born) => queues.delete(queue, born),
        create: async (queue) => void await queues.find(queue),
      },
      () => {},
    );
    const reserver: Reserver = this.#reserver = new Reserver({
      ...context,
      tables,
      queues,
      settlements,
      wait,
      onListening: (isOn) => {
        if (isOn) expiry.start();
        else expiry.stop();
      },
      takeExpired: () => expiry.take(),
    });
    this.notifier = reserver;
    lifeline.onEnd(() => void expiry.end());
    const expiry: Expiry = this.#expiry = new Expiry({
      client,
      clock,
      tables,
      queues,
      takeOne: async (queue) => (await reserver.take({ queue, limit: 1 }))?.[0],
      giveBack: async (each) => void await settlements.settle([each], "-NAK"),
      found: () => reserver.tellAny(),
    });
    const putter = this.#putter = new Putter(
      context,
      queues,
      tables,
      (queue, ttl) => expiry.note(queue, ttl),
    );
    const contents = new Contents({
      client,
      queues,
      settlements,
      putter,
      run: this.#run.bind(this),
      settled: () => reserver.settled(),
    });
    this.inspection = contents.inspection;
    this.quarantine = contents.quarantine;
    this.#marks = new Marks(bucket, lifeline.limits, clock);
    this.presence = {
      heartbeat: (_, ttl, options) =>
        this.#run("say that the connection is alive", options, async () => {
          await this.#declarations.look();
          return await presence.beat(ttl);
        }),
    };
    this.topology = {
      read: (of, options) => this.#read([of], options),
      readTogether: (all, options) => this.#read(all, options),
      apply: (...call) =>
        this.#run(
          "change the declarations",
          call[2],
          () =>
            this.#declarations.apply(...call).catch((error) => {
              if (!isFull(error) || !this.#canDoWithout(call[0])) throw error;
              return { type: "applied", messageCount: 0 };
            }),
        ),
    };
    const settle =
      (verdict: "+ACK" | "-NAK" | "+WPI") =>
      (all: readonly Reservation[], options?: CallOptions) =>
        this.#run(SETTLE, options, () => settlements.settle(all, verdict));
    this.messages = {
      count: this.#count.bind(this),
      purge: this.#purge.bind(this),
      ...delays ? contents.delayed : {},
      put: this.#put.bind(this),
      reserve: (wants, options) =>
        this.#reserver.reserve(wants, options).catch((error) => {
          throw options.signal?.aborted
            ? error
            : translate("take messages", error);
        }),
      remove: settle("+ACK"),
      release: (all, options) => {
        const released = settle("-NAK")(all, options);
        expiry.noteReturns(all);
        return released;
      },
      renew: settle("+WPI"),
    };
  }

  /** What is to become of what is held, should the connection be lost. */
  get left(): readonly Left[] {
    return this.#settlements.all();
  }

  /**
   * Makes the bucket, and says that the connection is alive; what an earlier one of the
   * session had taken goes back, and what it was settling is settled.
   */
  async open(ttl: number, left: readonly Left[]): Promise<void> {
    for (const { ack, isDone } of left) {
      this.#context.client.publish(ack, isDone ? "+ACK" : "-NAK");
    }
    await this.#bucket.open();
    await this.#tables.look();
    await this.#presence.beat(ttl).catch((error) => {
      if (!isFull(error)) throw error;
    });
  }

  /**
   * Whether changes are but consumers that come or go, in queues that do not depend on it.
   * A store that is full is emptied by consumers alone: so there they are not counted.
   */
  #canDoWithout(changes: readonly TopologyChange[]): boolean {
    return changes.every((each) => {
      if (each.type === "consumer-removed") return true;
      if (each.type !== "consumer-added" || each.consumer.exclusive) {
        return false;
      }
      const { declaration, traits } =
        this.#tables.view.topology.queue(each.queue) ?? {};
      return declaration?.autoDelete !== true && traits?.expires === undefined;
    });
  }

  async #read(
    all: readonly TopologyKey[],
    options?: CallOptions,
  ): Promise<TopologyView> {
    return await this.#run("read the declarations", options, async () => {
      const view = await this.#declarations.look(options);
      for (const { type, name, uses = true } of all) {
        if (type === "queue" && uses) {
          await this.#declarations.use(name, options);
        }
      }
      return view;
    });
  }

  async #count(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    return await this.#run(
      `count the messages of queue "${queue}"`,
      options,
      async () => {
        if (this.#tables.view.topology.queue(queue) === undefined) {
          return undefined;
        }
        await this.#reserver.settled();
        return await this.#queues.count(queue);
      },
    );
  }

  /** One by one, for JetStream's own purge takes those that are held, too. */
  async #purge(queue: string, options?: CallOptions): Promise<number> {
    return await this.#run(`purge queue "${queue}"`, options, async () => {
      let count = 0;
      for (;;) {
        const taken = await this.#reserver.take({ queue, limit: MAX_RESERVE });
        if (taken === undefined || taken.length === 0) return count;
        const lost = await this.#settlements.settle(taken, "+ACK");
        count += taken.length - lost.length;
      }
    });
  }

  #put(items: readonly StoreItem[], options?: PutOptions): Promise<PutResult> {
    return this.#run("put messages", options, async () => {
      const { version, instead, mark } = options ?? {};
      if (version !== undefined) {
        const { routes } = await this.#declarations.look(options);
        if (routes !== version) return STALE;
      }
      if (mark !== undefined) {
        return await putOnce(this.#marks, mark, items, async (handles) => {
          const written = await this.#putter.put(items, handles);
          return isWhole(written) ? PUT : STALE;
        }, options);
      }
      if (instead !== undefined && !this.#settlements.isOurs(instead)) {
        return LOST;
      }
      // Should the ack of the other be lost, and the same be put again, the stream knows it.
      const name = instead?.name;
      const handles = name === undefined
        ? []
        : items.map(({ queue }) => [queue, name] as const);
      const written = await this.#putter.put(items, handles);
      if (version !== undefined && !isWhole(written)) return STALE;
      if (instead !== undefined) {
        await this.#settlements.settle([instead], "+ACK");
      }
      return PUT;
    });
  }

  #run<T>(
    action: string,
    options: CallOptions | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    return this.#context.lifeline.run(
      action,
      options,
      () =>
        call().catch((error) => {
          const { reason } = this.#context.lifeline;
          throw reason === undefined || error instanceof MessagingError
            ? translate(action, error)
            : this.#context.lifeline.endError(action, reason);
        }),
    );
  }

  async serverInfo(options?: CallOptions): Promise<ServerInfo> {
    const { client } = this.#context;
    await this.#run(
      "ask the server what it is",
      options,
      async () => void await this.#bucket.open(),
    );
    return { product: "NATS", version: client.version, time: client.now() };
  }

  peer(): Peer | undefined {
    return peerIn(this.#context.client.native);
  }

  native(): unknown {
    return this.#context.client.native;
  }

  [Symbol.asyncDispose](): Promise<void> {
    const { client, lifeline } = this.#context;
    if (lifeline.reason?.type === "lost") {
      client.destroy();
      return Promise.resolve();
    }
    return lifeline.close(async () => {
      try {
        await lifeline.limits.wait(
          (async () => {
            await this.#expiry.end();
            await this.#reserver.close();
            await this.#settlements.settle(this.#settlements.all(), "-NAK");
            await this.#presence.leave();
            await client.close();
          })(),
          lifeline.limited(undefined),
          () => new Error("the server does not answer"),
        );
      } catch {
        client.destroy(); // what is unacked comes again when its time is over
      }
    });
  }

  destroy(): void {
    this.#context.lifeline.end();
    this.#context.client.destroy();
  }
}

/** Whether every copy has a place: a queue may have been deleted just now. */
function isWhole(written: readonly number[]): boolean {
  return !written.includes(0);
}
