import type { Publishing } from "../../model/message.ts";
import type { DelayedMessage } from "../delayed.ts";
import { Lifeline } from "../store/lifeline.ts";
import type {
  ChangeResult,
  InspectionStore,
  MessageStore,
  PutOptions,
  PutResult,
  QuarantineStore,
  QueueNotifier,
  ReleaseOptions,
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
  Store,
  StoreItem,
  StoreLimits,
  TopologyKey,
  TopologyStore,
  TopologyView,
} from "../store/store.ts";
import type { Capability, CloseReason, ConnectOptions } from "../transport.ts";
import type { Rates } from "../rates.ts";
import type { MemoryBroker } from "./broker.ts";
import { listDelayed } from "./delayed.ts";
import { MemoryInspection } from "./inspection.ts";
import { Kept } from "./kept.ts";
import { quarantineOf } from "./quarantine.ts";
import { Held, MemoryReservation } from "./reservation.ts";
import type { Item } from "./kept.ts";
import type { MemoryQueue } from "./queue.ts";

const CAPABILITIES: ReadonlySet<Capability> = new Set<Capability>([
  "dead-letter",
  "dedupe",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "key-fairness",
  "key-order",
  "known-queues",
  "length-limit",
  "message-ttl",
  "priority",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
  "wide-priority",
]);

const LIMITS: StoreLimits = {
  itemBytes: Infinity,
  reserveCount: 1000,
  reserveQueues: Infinity,
  reserveWait: Infinity,
  lease: undefined,
};

/** The purpose of takes, for errors. */
const RESERVE = "reserve messages";

/** Nothing was pushed out: one object for all. */
const PUT: Promise<PutResult> = Promise.resolve({ type: "put", displaced: [] });
const STALE: Promise<PutResult> = Promise.resolve({ type: "stale" });
const FULL: Promise<PutResult> = Promise.resolve({ type: "full" });
const LOST: Promise<PutResult> = Promise.resolve({ type: "lost" });
const TWICE: Promise<PutResult> = Promise.resolve({ type: "duplicate" });
const NONE_LOST: Promise<readonly Reservation[]> = Promise.resolve([]);

/** A connection to a broker in this process: what it reserved is given back when it closes. */
export class MemoryStore implements Store, MessageStore {
  readonly limits: StoreLimits = LIMITS;
  readonly capabilities: ReadonlySet<Capability> = CAPABILITIES;
  readonly closed: Promise<CloseReason>;
  readonly messages: MessageStore = this;
  readonly topology: TopologyStore = {
    read: this.#read.bind(this),
    apply: this.#apply.bind(this),
  };
  readonly notifier: QueueNotifier = {
    listen: (queue, onNews) => {
      this.#broker.listen(queue, onNews);
      const forget = () => this.#broker.forget(queue, onNews);
      const callOff = this.#lifeline.onEnd(forget);
      return () => {
        callOff();
        forget();
      };
    },
  };
  readonly quarantine: QuarantineStore;
  readonly rates: Rates = {
    admit: (queue, key, rate) =>
      Promise.resolve(this.#broker.admit(JSON.stringify([queue, key]), rate)),
  };
  readonly inspection: InspectionStore;
  readonly #broker: MemoryBroker;
  readonly #clock: ConnectOptions["clock"];
  readonly #lifeline: Lifeline;
  /** The reserved messages: each knows its neighbours, so that none has to be searched for. */
  readonly #held = new Held();

  /** Opens a connection to a broker. */
  constructor(broker: MemoryBroker, options: Pick<ConnectOptions, "clock">) {
    this.#lifeline = new Lifeline(options);
    this.closed = this.#lifeline.closed;
    this.#broker = broker;
    this.#clock = options.clock;
    this.inspection = new MemoryInspection(broker, options, this.#lifeline);
    this.quarantine = quarantineOf(broker, (each) => this.#end(each));
    broker.held.add(this.#held);
    this.#lifeline.onEnd(() => broker.held.delete(this.#held));
  }

  #read({ type, name, uses = true }: TopologyKey): Promise<TopologyView> {
    this.#broker.dropUnused();
    if (type === "queue" && uses) this.#broker.use(name);
    return this.#broker.tables.read();
  }

  #apply(
    ...call: Parameters<TopologyStore["apply"]>
  ): Promise<ChangeResult> {
    this.#broker.dropUnused();
    return this.#broker.tables.apply(...call);
  }

  count(queue: string): Promise<number | undefined> {
    return Promise.resolve(this.#broker.queue(queue)?.size);
  }

  purge(queue: string): Promise<number> {
    return Promise.resolve(this.#broker.queue(queue)?.purge() ?? 0);
  }

  changeDelayed(
    name: string,
    messageId: string,
    delay: number | undefined,
  ): Promise<boolean> {
    const queue = this.#broker.queue(name);
    return Promise.resolve(
      queue !== undefined &&
        this.#broker.changeDelayed(queue, messageId, delay),
    );
  }

  listDelayed(
    ...call: Parameters<NonNullable<MessageStore["listDelayed"]>>
  ): AsyncIterable<readonly DelayedMessage[]> {
    return listDelayed(this.#broker, this.#lifeline, ...call);
  }

  put(items: readonly StoreItem[], options?: PutOptions): Promise<PutResult> {
    if (
      options?.version !== undefined && options.version !== this.#broker.routes
    ) return STALE;
    const mark = options?.mark;
    if (mark !== undefined) {
      const token = this.#broker.marks.find(mark);
      if (token !== undefined) return token === mark.token ? PUT : TWICE;
    }
    for (const { queue, message } of items) {
      if (this.#broker.queue(queue)?.refuses(message.body.byteLength)) {
        return FULL;
      }
    }
    const { instead } = options ?? {};
    if (instead !== undefined && !this.#end(instead)) return LOST;
    if (mark !== undefined) this.#broker.marks.leave(mark);
    let displaced: Reservation[] | undefined;
    // One for all queues: consumers are handed copies of it.
    let given: Publishing | undefined;
    let kept: Kept | undefined;
    for (const item of items) {
      const queue = this.#broker.queue(item.queue);
      if (queue === undefined) continue;
      if (kept === undefined || item.message !== given) {
        kept = new Kept(given = item.message, this.#broker.slab);
      }
      this.#add(queue, kept, item.ttl);
      while (queue.overflows) {
        const head = queue.take();
        if (head === undefined) break;
        (displaced ??= []).push(this.#hold(queue, head, false));
      }
    }
    return displaced === undefined
      ? PUT
      : Promise.resolve({ type: "put", displaced });
  }

  #add(
    queue: MemoryQueue,
    message: Kept,
    ttl: number | undefined,
  ): void {
    if (message.delay === 0 && ttl === undefined) {
      return this.#broker.put(queue, message);
    }
    const dueAt = this.#clock.now() + message.delay;
    this.#broker.put(queue, message, {
      dueAt: message.delay > 0 ? dueAt : 0,
      expiresAt: ttl === undefined ? Infinity : dueAt + ttl,
      deliveryCount: 0,
    });
  }

  reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const refusal = this.#lifeline.refusal(RESERVE, options);
    if (refusal !== undefined) return Promise.reject(refusal);
    const reserved = this.#take(wants);
    if (reserved !== undefined) return Promise.resolve(reserved);
    if (options.wait <= 0) return NOTHING;
    return this.#wait(wants, options);
  }

  #take(wants: readonly ReserveWant[]): Reserved | undefined {
    const reservations: Reservation[] = [];
    let missing: string[] | undefined;
    for (const { queue: name, limit } of wants) {
      const queue = this.#broker.queue(name);
      if (queue === undefined) {
        (missing ??= []).push(name);
        continue;
      }
      for (let i = 0; i < limit; i++) {
        const item = queue.take();
        if (item === undefined) break;
        reservations.push(this.#hold(queue, item, false));
      }
    }
    for (
      let gone = this.#broker.takeExpired();
      gone !== undefined && reservations.length < LIMITS.reserveCount;
      gone = this.#broker.takeExpired()
    ) reservations.push(this.#hold(gone.queue, gone.item, true));
    return reservations.length === 0 && missing === undefined
      ? undefined
      : { reservations, missing: missing ?? [] };
  }

  #wait(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    return new Promise((resolve, reject) => {
      const until = this.#clock.now() + options.wait;
      const { signal } = options;
      let isDone = false;
      // A microtask later: messages that are put in one go are taken in one.
      const listener = () =>
        queueMicrotask(() => {
          const reserved = isDone ? undefined : this.#take(wants);
          if (reserved === undefined) return;
          done();
          resolve(reserved);
        });
      const unwatch = this.#lifeline.limits.watch(
        { signal, deadline: until },
        (reason) => {
          done();
          if (reason !== undefined) reject(reason.aborted);
          else resolve({ reservations: [], missing: [] });
        },
      );
      const forget = this.#lifeline.onEnd((reason) => {
        done();
        reject(this.#lifeline.endError(RESERVE, reason));
      });
      const done = () => {
        unwatch();
        forget();
        isDone = true;
        for (const { queue } of wants) this.#broker.forget(queue, listener);
      };
      for (const { queue } of wants) this.#broker.listen(queue, listener);
    });
  }

  remove(
    reservations: readonly Reservation[],
  ): Promise<readonly Reservation[]> {
    let lost: Reservation[] | undefined;
    for (const reservation of reservations) {
      if (!this.#end(reservation)) (lost ??= []).push(reservation);
    }
    return lost === undefined ? NONE_LOST : Promise.resolve(lost);
  }

  release(
    reservations: readonly Reservation[],
    options?: ReleaseOptions,
  ): Promise<readonly Reservation[]> {
    const lost: Reservation[] = [];
    // The newest first: each goes in front of the one before, without a search.
    for (let i = reservations.length - 1; i >= 0; i--) {
      const reservation = reservations[i];
      if (reservation === undefined) continue;
      const held = this.#settle(reservation);
      if (held === undefined) lost.push(reservation);
      else if (held.from.isOrdered) this.#giveBack(held, options);
      else {
        held.item.deliveryCount++;
        this.#broker.restore(held.from, held.item, true);
      }
    }
    return Promise.resolve(lost);
  }

  /** Puts a message of an ordered queue back, as the first of its key. */
  #giveBack(
    { from, item, expired }: MemoryReservation,
    { delay = 0, headers }: ReleaseOptions = {},
  ): void {
    const { message, deliveryCount } = item;
    const back = headers === undefined
      ? { ...item, deliveryCount: deliveryCount + 1 }
      : {
        ...item,
        message: message.withHeaders(headers, this.#broker.slab),
        deliveryCount: 0,
      };
    if (delay > 0 && !expired) this.#broker.restoreLater(from, back, delay);
    else this.#broker.restore(from, back, !expired);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lifeline.close(() => this.release(this.#held.list()));
  }

  #hold(queue: MemoryQueue, item: Item, expired: boolean): MemoryReservation {
    const { expiresAt } = item;
    const timeLeft = expiresAt === Infinity
      ? undefined
      : expiresAt - this.#clock.now();
    return this.#held.add(
      new MemoryReservation(queue, item, expired, timeLeft),
    );
  }

  /** A reservation is settled, and its message gone from its queue; says whether it was ours. */
  #end(reservation: Reservation): reservation is MemoryReservation {
    const held = this.#settle(reservation);
    if (held === undefined) return false;
    if (held.from.isOrdered && !held.expired) {
      this.#broker.settled(held.from, held.item);
    }
    return true;
  }

  #settle(reservation: Reservation): MemoryReservation | undefined {
    if (!(reservation instanceof MemoryReservation)) return undefined;
    return this.#held.remove(reservation) ? reservation : undefined;
  }
}

const NOTHING: Promise<Reserved> = Promise.resolve({
  reservations: [],
  missing: [],
});
