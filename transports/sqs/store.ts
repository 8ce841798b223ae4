import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { UnsupportedError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { inSteps } from "../../async/steps.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type {
  BroadcastStore,
  InspectionStore,
  MessageStore,
  QuarantineStore,
  ReleaseOptions,
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
  Store,
  StoreLimits,
  TopologyStore,
} from "../store/store.ts";
import type { Capability, CloseReason, ServerInfo } from "../transport.ts";
import { decodeBody } from "./body.ts";
import type { Clients } from "./clients.ts";
import { refuseMark } from "./deduplication.ts";
import { entryFor } from "./entry.ts";
import { Fanout, mostForTopics } from "./fanout.ts";
import { SqsInspection } from "./inspection.ts";
import { isFifo, MAX_NAME } from "./names.ts";
import type { SqsSettings } from "./options.ts";
import { Reserver } from "./reserver.ts";
import type { ReceivedMessage } from "./port.ts";
import { Putter } from "./putter.ts";
import { Quarantine } from "./quarantine.ts";
import { Queues, type SqsQueue } from "./queues.ts";
import type { Requests } from "./requests.ts";
import { SqsReservation } from "./reservation.ts";
import { Settlements } from "./settlements.ts";
import { SqsTables } from "./tables.ts";

/** The parts and settings that a store is made of. */
export interface SqsStoreSettings {
  readonly settings: SqsSettings;
  readonly clients: Clients;
  readonly requests: Requests;
  readonly clock: Clock;
  readonly lifeline: Lifeline;
  /** How much longer than it waits a receive may take, ms. */
  readonly grace: number;
}

/**
 * A connection to SQS. A declaration is known to this connection alone; only the bindings
 * of fanout exchanges, SNS's subscriptions, are known to all.
 */
export class SqsStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly messages: MessageStore;
  readonly topology: TopologyStore;
  /** There where fanout exchanges are topics of SNS. */
  readonly broadcasts: BroadcastStore | undefined;
  readonly quarantine: QuarantineStore;
  readonly inspection: InspectionStore;
  readonly #settings: SqsSettings;
  readonly #clients: Clients;
  readonly #requests: Requests;
  readonly #lifeline: Lifeline;
  readonly #clock: Clock;
  readonly #lease: number;
  readonly #tables: SqsTables;
  readonly #queues: Queues;
  readonly #reserver: Reserver;
  readonly #settlements: Settlements;
  readonly #putter: Putter;
  readonly #quarantine: Quarantine;
  /** Messages on their way back that nobody waits for. */
  readonly #givingBack = new Set<Promise<void>>();

  /** Makes one over a client that has been heard. */
  constructor(
    { settings, clients, requests, clock, lifeline, grace }: SqsStoreSettings,
  ) {
    const { limits } = this.#lifeline = lifeline;
    this.closed = lifeline.closed;
    this.#settings = settings;
    this.#clients = clients;
    this.#requests = requests;
    requests.isOpen = true;
    const { lease } = settings;
    this.#lease = lease;
    this.#clock = clock;
    this.limits = {
      itemBytes: settings.maxMessageSize,
      reserveCount: 10,
      reserveQueues: 1,
      reserveWait: settings.waitTime,
      lease,
      // Its own dead letter queues go by how often a message was received.
      countsReserves: true,
      delayStep: 1000,
      queueNameBytes: MAX_NAME - settings.queueNamePrefix.length,
    };
    this.capabilities = capabilitiesOf(settings);
    this.#queues = new Queues(clients, settings, clock, limits);
    this.inspection = new SqsInspection(
      this.#queues,
      lifeline,
      () => Promise.all(this.#givingBack),
    );
    this.#settlements = new Settlements(clock, limits);
    this.#quarantine = new Quarantine(this.#queues, this.#settlements);
    this.#reserver = new Reserver({
      clock,
      lifeline,
      lease,
      grace,
      giveBack: (queue, messages) => this.#giveBack(queue, messages),
    });
    const fanout = settings.fanout === "sns"
      ? new Fanout(clients.own.topics, settings, limits, (exchange) => {
        this.#tables.forgetExchange(exchange);
      })
      : undefined;
    this.#tables = new SqsTables(this.#queues, fanout, {
      windUp: (queue) => this.#reserver.windUp(queue),
      settled: () => Promise.all(this.#givingBack),
    });
    this.#putter = new Putter(
      settings,
      this.#queues,
      this.#tables,
      this.#settlements,
      limits,
    );
    this.messages = {
      count: this.#tables.countMessages.bind(this.#tables),
      purge: this.#purge.bind(this),
      put: this.#putter.put.bind(this.#putter),
      refuseMark,
      reserve: this.#reserve.bind(this),
      remove: this.#remove.bind(this),
      release: this.#release.bind(this),
      renew: this.#renew.bind(this),
      drop: this.#drop.bind(this),
      redrives: this.#redrives.bind(this),
    };
    this.topology = this.#tables;
    this.broadcasts = fanout && { send: this.#broadcast.bind(this, fanout) };
    this.quarantine = this.#quarantine;
    lifeline.onEnd((reason) => {
      if (reason.type === "lost") void this.#cut(reason.error);
    });
  }

  /** One by one, for SQS's own purge takes those that are out, too, and not more than once a minute. */
  async #purge(queue: string, options?: CallOptions): Promise<number> {
    let count = 0;
    await inSteps(async (change) => {
      const work = async () => {
        for (;;) {
          const { reservations } = await this.#reserve(
            [{ queue, limit: this.limits.reserveCount }],
            { ...options, wait: 0 },
          );
          if (reservations.length === 0) return;
          try {
            const removing = this.#remove(reservations, options);
            const lost = await change(removing);
            count += reservations.length - lost.length;
          } catch (error) {
            this.#giveAllBack(reservations);
            throw error;
          }
        }
      };
      const working = [work(), work(), work(), work()];
      // Each has the same limits, and what it has taken is to be back when this is told.
      await Promise.allSettled(working);
      await Promise.all(working);
    });
    return count;
  }

  async #reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const refusal = this.#lifeline.refusal("take messages", options);
    if (refusal !== undefined) throw refusal;
    const [want] = wants;
    if (want === undefined) return { reservations: [], missing: [] };
    const { queue, limit } = want;
    const found = await this.#queues.find(queue, options);
    if (found === undefined) return { reservations: [], missing: [queue] };
    const most = Math.min(limit, this.limits.reserveCount);
    try {
      const { messages, ...times } = options.wait > 0
        ? await this.#reserver.keepReceiving(found, most, options)
        : await this.#reserver.receive(found, most, {
          ...options,
          wait: this.#settings.getWaitTime,
        });
      return {
        reservations: messages.map((message) =>
          new SqsReservation(
            found,
            message,
            decodeBody(message.body, queue),
            times,
          )
        ),
        missing: [],
      };
    } catch (error) {
      if (!this.#tables.isGone(queue, error)) throw error;
      return { reservations: [], missing: [queue] };
    }
  }

  #remove(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return this.#settlements.settle(reservations, "remove", options);
  }

  /** As Kombu: where SQS has a redrive policy, or may have one, it is left to that; the message comes again until it is moved. */
  async #drop(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const lost = reservations.map(async (each) => {
      if (!this.#settlements.isOurs(each)) return [each];
      return await this.#queues.redrives(each.from, options)
        ? []
        : await this.#remove([each], options);
    });
    return (await Promise.all(lost)).flat();
  }

  async #redrives(
    reservation: Reservation,
    options?: CallOptions,
  ): Promise<boolean> {
    return this.#settlements.isOurs(reservation) &&
      await this.#queues.redrives(reservation.from, options);
  }

  #release(
    reservations: readonly Reservation[],
    options?: ReleaseOptions,
  ): Promise<readonly Reservation[]> {
    const { delay = 0 } = options ?? {};
    if (delay === 0) return this.#settlements.settle(reservations, 0, options);
    const now = this.#clock.now();
    return this.#settlements.settle(
      reservations,
      (each) => each.secondsOf(delay, now),
      options,
    );
  }

  #renew(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return this.#settlements.hold(reservations, this.#lease, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lifeline.close(async () => {
      await this.#reserver.windUp();
      await Promise.all(this.#givingBack);
      await this.#cut();
    });
  }

  destroy(): void {
    this.#lifeline.end();
    void this.#cut();
  }

  async serverInfo(options?: CallOptions): Promise<ServerInfo> {
    const date = await this.#clients.own.readDate(options ?? {});
    const time = Date.parse(date ?? "");
    return {
      product: "SQS",
      version: undefined, // of a service
      time: Number.isNaN(time) ? undefined : time,
      timeStep: 1000,
    };
  }

  queueUrl(queue: string): string | undefined {
    return this.#queues.known(queue)?.url;
  }

  native(): unknown {
    return this.#clients.own.native;
  }

  async #cut(lost?: Error): Promise<void> {
    this.#requests.close(lost);
    await this.#clients.close();
  }

  async #broadcast(
    fanout: Fanout,
    exchange: string,
    message: Publishing,
    options?: CallOptions,
  ): Promise<void> {
    if (message.delay > 0) {
      throw new UnsupportedError(
        `Cannot publish to exchange "${exchange}" with a delay: topics of SNS have none`,
      );
    }
    const most = mostForTopics(this.#settings);
    const body = this.#putter.bodyOf(message, false, most);
    const fifo = isFifo(exchange);
    const entry = entryFor(message, { body, fifo, copy: false, fair: false });
    await fanout.publish(exchange, entry, options);
  }

  /** Messages that were taken, and could not be removed, are in sight again at once. */
  #giveAllBack(reservations: readonly Reservation[]): void {
    const taken = reservations.filter((each) => this.#settlements.isOurs(each));
    const [first] = taken;
    if (first === undefined) return;
    this.#giveBack(first.from, taken.map(({ received }) => received));
  }

  #giveBack(queue: SqsQueue, messages: readonly ReceivedMessage[]): void {
    if (messages.length === 0) return;
    const giving: Promise<void> = queue.client.changeVisibility(
      queue.url,
      messages.map(({ handle }) => handle),
      0,
      {},
    ).then(() => {}, () => {}) // else they come back when their time is over
      .finally(() => this.#givingBack.delete(giving));
    this.#givingBack.add(giving);
  }
}

function capabilitiesOf(settings: SqsSettings): ReadonlySet<Capability> {
  const capabilities: Capability[] = [
    "dead-letter",
    "delay",
    "key-order",
    "known-queues",
    "lease",
    "persistence",
    "queued-fanout",
  ];
  // A queue that hears two topics would be given a message of both twice.
  if (settings.fanout === "queue") capabilities.push("exchange-to-exchange");
  return new Set(capabilities);
}
