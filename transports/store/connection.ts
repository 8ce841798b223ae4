import { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { planOwnerGone } from "../../virtual/declare.ts";
import { formatUrl } from "../../url/format.ts";
import type { BrokerUrl, UrlDefaults } from "../../url/broker_url.ts";
import type {
  Capability,
  Channel,
  CloseReason,
  ConnectOptions,
  ServerInfo,
  Transport,
  TransportConnection,
} from "../transport.ts";
import {
  connectionClosed,
  endedMeanwhile,
  lostBefore,
} from "../connection_errors.ts";
import type { Inspection } from "../inspection.ts";
import type { OutboxRows } from "../outbox.ts";
import type { Peer } from "../peer.ts";
import type { Rates } from "../rates.ts";
import { capabilitiesOf, checkParts } from "./capabilities.ts";
import { StoreChannel } from "./channel.ts";
import type { ChannelContext } from "./channel_context.ts";
import { DeadLetters } from "./dead_letters.ts";
import { Declarer } from "./declarer.ts";
import { StoreInspection } from "./inspection.ts";
import { Leases } from "./leases.ts";
import { Leftovers } from "./leftovers.ts";
import { withTopology } from "./local_topology.ts";
import { Loop } from "./loop.ts";
import { Parking } from "./parking.ts";
import { Publisher } from "./publisher.ts";
import { Quarantine } from "./quarantine.ts";
import { Router } from "./router.ts";
import { ReplyQueues } from "./reply_queues.ts";
import { Ripener } from "./ripener.ts";
import type { Reservation, Store } from "./store.ts";

/** The store and the settings that {@linkcode createStoreTransport} builds a transport from. */
export interface StoreTransportOptions {
  /** The transport's name. */
  readonly name: string;
  /** The parts that its URLs may leave out. */
  readonly defaults?: UrlDefaults | undefined;
  /** Connects once: the library retries. */
  open(url: BrokerUrl, options: ConnectOptions): Promise<Store>;
}

/** A transport that was made of a store. */
export interface StoreTransport extends Transport {
  /**
   * Makes another like this one, each of whose stores is put into something: for tests
   * that let its verbs fail, and for measuring.
   */
  wrapping(wrap: (store: Store) => Store): StoreTransport;
}

/**
 * Says whether a transport was made of a store.
 *
 * @param transport The transport.
 * @returns Whether {@linkcode createStoreTransport} made it.
 *
 * @example A transport over a store, and one that is not
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/memory";
 * import { createTransport as createAmqp } from "@dashi/mq/amqp";
 * import { isStoreTransport } from "@dashi/mq/store";
 *
 * assertEquals(isStoreTransport(createTransport()), true);
 * assertEquals(isStoreTransport(createAmqp()), false);
 * ```
 */
export function isStoreTransport(
  transport: Transport,
): transport is StoreTransport {
  return "wrapping" in transport;
}

/**
 * Makes a transport of a store.
 *
 * @param options Its name, and how to open a store.
 * @returns The transport: exchanges, routing, prefetch, settlement and dead letters over the store's verbs.
 *
 * @example A store that cannot be opened
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { ConnectionError, createConnection } from "@dashi/mq";
 * import { createStoreTransport } from "@dashi/mq/store";
 *
 * const transport = createStoreTransport({
 *   name: "mine",
 *   open: () => {
 *     throw new ConnectionError("nobody is there", {
 *       code: "connection-failed",
 *     });
 *   },
 * });
 * const connection = createConnection("mine://", { transport, reconnect: false });
 * await assertRejects(() => connection.connect(), ConnectionError);
 * await connection.close();
 * ```
 */
export function createStoreTransport(
  options: StoreTransportOptions,
): StoreTransport {
  return {
    name: options.name,
    defaults: options.defaults,
    wrapping: (wrap) =>
      createStoreTransport({
        ...options,
        open: async (...opening) => wrap(await options.open(...opening)),
      }),
    async connect(url, connectOptions) {
      const { signal, deadline, clock } = connectOptions;
      new Limits(clock).check(
        { signal, deadline },
        () => `connect to "${formatUrl(url)}"`,
      );
      const store = await options.open(url, connectOptions);
      try {
        checkParts(options.name, store);
      } catch (error) {
        await store[Symbol.asyncDispose]();
        throw error;
      }
      return new StoreConnection(store, connectOptions);
    },
  };
}

/** An open store, its channels, and the loops that take messages for them. */
class StoreConnection implements TransportConnection {
  readonly capabilities: ReadonlySet<Capability>;
  readonly callsFailAlone = true;
  readonly delayStep: number | undefined;
  readonly rates: Rates | undefined;
  readonly inspection: Inspection | undefined;
  readonly outbox: OutboxRows | undefined;
  readonly closed: Promise<CloseReason>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #store: Store;
  readonly #options: ConnectOptions;
  readonly #limits: Limits;
  readonly #deadLetters: DeadLetters;
  readonly #leases: Leases;
  readonly #ripener: Ripener;
  readonly #leftovers: Leftovers;
  readonly #loops: Loop[] = [];
  readonly #channels = new Set<StoreChannel>();
  readonly #context: ChannelContext<StoreChannel>;
  #channelCount = 0;
  #lostError: Error | undefined;
  #closing: Promise<void> | undefined;
  readonly #destroyed = Promise.withResolvers<void>();

  constructor(opened: Store, options: ConnectOptions) {
    const store = withTopology(opened);
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#store = store;
    this.#options = options;
    this.capabilities = capabilitiesOf(store);
    this.delayStep = store.limits.delayStep;
    this.rates = store.rates;
    this.outbox = store.outbox;
    this.inspection = store.inspection &&
      new StoreInspection(store, store.inspection);
    const { clock, owner, operationTimeout } = options;
    this.#limits = new Limits(clock);
    const router = new Router(
      store,
      this.#limits,
      () => clock.now() + operationTimeout,
    );
    const leftovers = this.#leftovers = new Leftovers(
      store.messages,
      options,
    );
    const quarantine = new Quarantine(store, options.onEvent);
    this.#deadLetters = new DeadLetters(
      store,
      router,
      quarantine,
      leftovers,
      () => clock.wall(),
      options.onEvent,
    );
    const declarer = new Declarer(store.topology, this.#limits);
    this.#ripener = new Ripener(store.messages, options);
    const replies = store.topology.findQueue === undefined
      ? undefined
      : new ReplyQueues();
    this.#context = {
      store,
      clock,
      owner,
      operationTimeout,
      limits: this.#limits,
      deadLetters: this.#deadLetters,
      quarantine,
      leftovers,
      replies,
      ripener: this.#ripener,
      consumerTags: new Set(),
      declarer,
      parking: new Parking({
        store,
        deadLetters: this.#deadLetters,
        quarantine,
        declarer,
        owner,
        wall: () => clock.wall(),
      }),
      publisher: new Publisher(
        store,
        router,
        this.#limits,
        this.#deadLetters,
        this.#ripener,
        replies,
      ),
      loopFor: (queue) => this.#loopFor(queue),
      forget: (channel) => this.#channels.delete(channel),
    };
    this.#leases = new Leases(store, options, {
      declarer,
      held: () => this.#held(),
      lost: (lost) => this.#lost(lost),
    });
    store.closed.then((reason) => {
      if (reason.type === "lost") this.#lose(reason.error);
    });
  }

  openChannel(options?: CallOptions): Promise<Channel> {
    try {
      if (this.#lostError !== undefined) {
        throw lostBefore("open a channel", { cause: this.#lostError });
      }
      if (this.#closing !== undefined) {
        throw connectionClosed("open a channel");
      }
      this.#limits.check(options, () => "open a channel");
      const channel = new StoreChannel(this.#context, ++this.#channelCount);
      this.#channels.add(channel);
      return Promise.resolve(channel);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  peer(): Peer | undefined {
    return this.#store.peer?.();
  }

  queueUrl(queue: string): string | undefined {
    return this.#store.queueUrl?.(queue);
  }

  async serverInfo(options?: CallOptions): Promise<ServerInfo | undefined> {
    return await this.#store.serverInfo?.(options);
  }

  native(): unknown {
    return this.#store.native?.();
  }

  /** The promises that `#close` still waits for reject, so that it completes. */
  destroy(): void {
    this.#leftovers.stop();
    for (const { deliveries } of this.#channels) deliveries.clear();
    this.#store.destroy?.();
    this.#destroyed.resolve();
  }

  async #close(): Promise<void> {
    this.#leases.stop();
    this.#ripener.stop();
    const { clock, operationTimeout } = this.#options;
    let isLate = false;
    try {
      await this.#limits.wait(
        Promise.race([this.#windUp(), this.#destroyed.promise]),
        { deadline: clock.now() + operationTimeout },
        () => {
          isLate = true;
          return new Error("late");
        },
      );
    } catch (error) {
      if (!isLate) throw error;
      // The broker gives back what it thinks that we hold when we are missed.
      this.destroy();
    } finally {
      // The connection ends, whether the store fails or not.
      this.#limits.end(() => endedMeanwhile(undefined));
      this.#settleClosed({ type: "closed" });
    }
  }

  async #windUp(): Promise<void> {
    const { clock, operationTimeout, owner } = this.#options;
    await Promise.all(
      [...this.#channels].map((channel) => channel[Symbol.asyncDispose]()),
    );
    // It may be of queues that nobody else looks at.
    await this.#deadLetters.settled();
    await this.#leftovers.close(clock.now() + operationTimeout);
    try {
      await this.#context.declarer.change(
        { type: "owner", name: owner },
        (topology) => planOwnerGone(topology, owner),
        { deadline: clock.now() + operationTimeout },
      );
    } catch {
      // Closing ends quietly: what we own goes when we are missed.
    }
    await this.#store[Symbol.asyncDispose]();
  }

  #lose(error: Error): void {
    if (this.#closing !== undefined) return;
    this.#closing = Promise.resolve();
    this.#lostError = error;
    this.#leases.stop();
    this.#ripener.stop();
    this.#leftovers.stop();
    for (const channel of this.#channels) channel.lose(error);
    this.#channels.clear();
    this.#limits.end(() => endedMeanwhile(error));
    this.#settleClosed({ type: "lost", error });
  }

  #loopFor(queue: string): Loop {
    // The one that has it first: another with room would be woken for nothing.
    const loop = this.#loops.find((each) => each.has(queue)) ??
      this.#loops.find((each) => each.hasRoom);
    if (loop !== undefined) return loop;
    const { clock, operationTimeout } = this.#options;
    // Consumers wait for it: a move that takes longer is tried again without them.
    const limits = () => ({ deadline: clock.now() + operationTimeout });
    const added = new Loop(this.#store, clock, operationTimeout, {
      expired: (reservations) =>
        this.#deadLetters.moveAll(reservations, "expired", limits()),
      unwanted: (reservations) =>
        this.#leftovers.release(reservations, limits()),
    });
    this.#loops.push(added);
    return added;
  }

  #held(): readonly Reservation[] {
    return [
      ...[...this.#channels].flatMap(({ deliveries }) => deliveries.held()),
      ...this.#leftovers.held(),
    ];
  }

  #lost(lost: readonly Reservation[]): void {
    const set = new Set(lost);
    for (const { deliveries } of this.#channels) deliveries.lose(set);
    this.#leftovers.lose(set);
  }
}
