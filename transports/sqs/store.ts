import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ClosedError,
  type ConnectionError,
  PublishError,
  UnsupportedError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
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
import { Batcher } from "./batcher.ts";
import { decodeBody, encodeBody } from "./body.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { Clients } from "./clients.ts";
import { entryFor, type SendEntry } from "./entry.ts";
import { sendError } from "./errors.ts";
import { Fanout, mostForTopics } from "./fanout.ts";
import { isFifo } from "./names.ts";
import type { SqsSettings } from "./options.ts";
import { Polls } from "./polls.ts";
import type { ReceivedMessage } from "./port.ts";
import { Queues, type SqsQueue } from "./queues.ts";
import type { Requests } from "./requests.ts";
import { Settlements, SqsReservation } from "./settlements.ts";
import { SqsTables } from "./tables.ts";

/** How long a message is ours without being renewed, at most, ms. */
const MOST_LEASE = 60_000;

const STALE: Promise<PutResult> = Promise.resolve({ type: "stale" });
const PUT: Promise<PutResult> = Promise.resolve({ type: "put", displaced: [] });
const LOST: PutResult = { type: "lost" };

/** What a store is made of. */
export interface SqsStoreSettings {
  readonly settings: SqsSettings;
  readonly clients: Clients;
  readonly requests: Requests;
  readonly clock: Clock;
  /** How much longer than it waits a receive may take, ms. */
  readonly grace: number;
}

/**
 * A connection to SQS. What is declared is known to this connection alone; only the
 * bindings of fanout exchanges, SNS's subscriptions, are known to all.
 */
export class SqsStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly broadcast?: (
    exchange: string,
    message: Publishing,
    options?: CallOptions,
  ) => Promise<void>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #settings: SqsSettings;
  readonly #clients: Clients;
  readonly #requests: Requests;
  readonly #limits: Limits;
  readonly #tables: SqsTables;
  readonly #queues: Queues;
  readonly #polls: Polls;
  readonly #settlements: Settlements;
  readonly #senders = new Map<string, Batcher<SendEntry>>();
  readonly #writer = new EnvelopeWriter();
  /** Messages on their way back that nobody waits for. */
  readonly #givingBack = new Set<Promise<void>>();
  #ended = false;

  /** Makes one over a client that has been heard. */
  constructor({ settings, clients, requests, clock, grace }: SqsStoreSettings) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#settings = settings;
    this.#clients = clients;
    this.#requests = requests;
    requests.onLost = (error) => this.lose(error);
    this.#limits = new Limits(clock);
    const lease = Math.min(settings.visibilityTimeout, MOST_LEASE);
    this.limits = {
      itemBytes: settings.maxMessageBytes,
      reserveCount: 10,
      reserveQueues: 1,
      reserveWait: settings.waitTime,
      lease,
      // Its own dead letter queues go by how often a message was received.
      countsReserves: true,
    };
    this.capabilities = capabilitiesOf(settings);
    this.#queues = new Queues(clients, settings, clock, this.#limits);
    this.#settlements = new Settlements(clock, this.#limits);
    this.#polls = new Polls({
      clock,
      limits: this.#limits,
      lease,
      grace,
      giveBack: (queue, messages) => this.#giveBack(queue, messages),
      lost: (error) => this.lose(error),
    });
    const fanout = settings.supportsFanout
      ? new Fanout(clients.own.topics, settings, this.#limits, (exchange) => {
        this.#tables.forgetExchange(exchange);
      })
      : undefined;
    this.#tables = new SqsTables(this.#queues, fanout, {
      windUp: (queue) => this.#polls.windUp(queue),
      settled: () => Promise.all(this.#givingBack),
    });
    if (fanout !== undefined) {
      this.broadcast = (exchange, message, options) =>
        this.#broadcast(fanout, exchange, message, options);
    }
  }

  readTopology(of: TopologyKey, options?: CallOptions): Promise<TopologyView> {
    return this.#tables.read(of, options);
  }

  applyChanges(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    return this.#tables.apply(changes, version, options);
  }

  countMessages(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    return this.#tables.countMessages(queue, options);
  }

  /** One by one, for SQS's own purge takes those that are out, too, and not more than once a minute. */
  async purgeQueue(queue: string, options?: CallOptions): Promise<number> {
    let count = 0;
    const work = async () => {
      for (;;) {
        const { reservations } = await this.reserve(
          [{ queue, limit: this.limits.reserveCount }],
          { ...options, wait: 0 },
        );
        if (reservations.length === 0) return;
        const lost = await this.remove(reservations, options);
        count += reservations.length - lost.length;
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    return count;
  }

  put(items: readonly StoreItem[], options?: PutOptions): Promise<PutResult> {
    if (
      options?.version !== undefined && options.version !== this.#tables.version
    ) {
      return STALE;
    }
    const [first, ...others] = items;
    if (first === undefined) return PUT;
    const { base64Encoding, maxMessageBytes } = this.#settings;
    const body = this.#bodyOf(first.message, base64Encoding, maxMessageBytes);
    if (others.length > 0 || options?.instead !== undefined) {
      return this.#putAll(items, body, options);
    }
    const found = this.#queues.known(first.queue);
    return found === undefined
      ? this.#putAll(items, body, options)
      : this.#send(found, first.message, body, options);
  }

  async #putAll(
    items: readonly StoreItem[],
    body: () => string,
    options?: PutOptions,
  ): Promise<PutResult> {
    const instead = options?.instead;
    if (instead !== undefined && !this.#settlements.isOurs(instead)) {
      return LOST;
    }
    const results = await Promise.all(items.map(async ({ queue, message }) => {
      const found = await this.#queues.find(queue, options);
      return found === undefined
        ? STALE
        : await this.#send(found, message, body, options);
    }));
    const stale = results.find(({ type }) => type === "stale");
    if (stale !== undefined) return stale;
    if (instead !== undefined) await this.remove([instead], options);
    return PUT;
  }

  async reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    options.signal?.throwIfAborted();
    if (this.#ended) {
      throw new ClosedError(
        "Cannot reserve messages: the connection is closed",
      );
    }
    const [want] = wants;
    if (want === undefined) return { reservations: [], missing: [] };
    const { queue, limit } = want;
    const found = await this.#queues.find(queue, options);
    if (found === undefined) return { reservations: [], missing: [queue] };
    const most = Math.min(limit, this.limits.reserveCount);
    try {
      const { messages, until } = options.wait > 0
        ? await this.#polls.keepReceiving(found, most, options)
        : await this.#polls.receive(found, most, {
          ...options,
          wait: this.#settings.getWaitTime,
        });
      return {
        reservations: messages.map((message) =>
          new SqsReservation(
            found,
            message,
            decodeBody(message.body, queue),
            until,
          )
        ),
        missing: [],
      };
    } catch (error) {
      if (!this.#tables.isGone(queue, error)) throw error;
      return { reservations: [], missing: [queue] };
    }
  }

  remove(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return this.#settlements.settle(reservations, "remove", options);
  }

  /** As Kombu: where SQS has a redrive policy, or may have one, it is left to that; the message comes again until it is moved. */
  async drop(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const lost = reservations.map(async (each) => {
      if (!this.#settlements.isOurs(each)) return [each];
      return await this.#queues.redrives(each.from, options)
        ? []
        : await this.remove([each], options);
    });
    return (await Promise.all(lost)).flat();
  }

  release(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return this.#settlements.settle(reservations, 0, options);
  }

  renew(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const { lease = MOST_LEASE } = this.limits;
    return this.#settlements.hold(reservations, lease / 1000, options);
  }

  /** Ends it: the way to AWS is gone. */
  lose(error: ConnectionError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#settleClosed({ type: "lost", error });
    void this.destroy(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#polls.close();
    await this.#polls.windUp();
    await Promise.all(this.#givingBack);
    await this.destroy();
    this.#settleClosed({ type: "closed" });
  }

  async destroy(lost?: ConnectionError): Promise<void> {
    this.#requests.close(lost);
    this.#polls.close(lost);
    this.#limits.clear();
    await this.#clients.close();
  }

  /** Writes a message when it is asked for, and once. */
  #bodyOf(message: Publishing, base64: boolean, most: number): () => string {
    let text: string | undefined;
    return () => text ??= this.#encode(message, base64, most);
  }

  #encode(message: Publishing, base64: boolean, most: number): string {
    const envelope = this.#writer.write(message, crypto.randomUUID());
    const body = encodeBody(envelope, base64);
    if (body.length <= most) return body;
    throw new PublishError(
      `Cannot publish a message of ${message.body.byteLength} bytes: it would be ${body.length} on its way, of ${most} at most; max_message_bytes is the limit of queues`,
      { code: "message-too-large" },
    );
  }

  /** Sends a message to a queue; `stale` if the queue is not there any more. */
  #send(
    found: SqsQueue,
    message: Publishing,
    body: () => string,
    options?: PutOptions,
  ): Promise<PutResult> {
    const copy = options?.instead !== undefined;
    let entry: SendEntry;
    try {
      entry = entryFor(message, { body, fifo: found.fifo, copy });
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#senderOf(found).add(entry, options).then(
      (failure) => {
        if (failure !== undefined) throw sendError(found.queue, failure);
        return PUT;
      },
      (error) => {
        if (!this.#tables.isGone(found.queue, error)) throw error;
        return STALE;
      },
    );
  }

  #senderOf({ queue, url, client }: SqsQueue): Batcher<SendEntry> {
    let sender = this.#senders.get(queue);
    if (sender === undefined) {
      sender = new Batcher({
        mostBytes: this.#settings.maxMessageBytes,
        bytesOf: (entry) => entry.body().length,
        // One after the other: what is sent first comes first, as far as SQS keeps it so.
        atOnce: 1,
        limits: this.#limits,
        send: (entries, options) => client.send(url, entries, options),
      });
      this.#senders.set(queue, sender);
    }
    return sender;
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
    const body = this.#bodyOf(message, false, most);
    const fifo = isFifo(exchange);
    const entry = entryFor(message, { body, fifo, copy: false });
    await fanout.publish(exchange, entry, options);
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
