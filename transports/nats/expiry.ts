import type { Clock } from "../../async/clock.ts";
import type { Tables } from "../records/tables.ts";
import type { Reservation } from "../store/store.ts";
import type { NatsClient } from "./client.ts";
import { ttlOf } from "./message.ts";
import type { Queues } from "./queues.ts";
import { readPages } from "./reader.ts";
import { NatsReservation } from "./reservation.ts";

/** How often to look at a queue of which it is not known when its next message expires, ms. */
const LOOK_EVERY = 5000;

/** The least time between two looks: so many requests a second are the most that it costs. */
const LEAST_PAUSE = 50;

/** What expiry uses of its connection. */
export interface ExpiryContext {
  readonly client: NatsClient;
  readonly clock: Clock;
  readonly tables: Tables;
  readonly queues: Queues;
  /** Takes the next message of a queue. */
  takeOne(queue: string): Promise<NatsReservation | undefined>;
  /** Gives a message back that has not expired. */
  giveBack(reservation: NatsReservation): Promise<void>;
  /** Expired messages were found. */
  found(): void;
}

/**
 * Looks for messages whose time to live is over in queues that dead-letter. JetStream would
 * remove them by itself, and carries nothing to another queue: so while this connection waits
 * for messages, it looks at the first of each such queue. It is handed to the next who asks.
 */
export class Expiry {
  readonly #context: ExpiryContext;
  /** When to look at a queue next, on the clock. */
  readonly #looks = new Map<string, number>();
  #found: NatsReservation[] = [];
  #stopTimer: (() => void) | undefined;
  #isOn = false;
  #isOver = false;
  #looking: Promise<void> | undefined;

  /** Makes one that is off. */
  constructor(context: ExpiryContext) {
    this.#context = context;
  }

  /** Notes that a message of a queue expires in so many ms, if the queue dead-letters. */
  note(queue: string, ttl: number): void {
    if (!this.#context.tables.traits(queue).deadLetters) return;
    const at = this.#context.clock.now() + ttl;
    if ((this.#looks.get(queue) ?? Infinity) <= at) return;
    this.#looks.set(queue, at);
    this.#arm();
  }

  /** Notes what goes back: it may expire there. */
  noteReturns(all: readonly Reservation[]): void {
    for (const each of all) {
      if (!(each instanceof NatsReservation)) continue;
      const ttl = ttlOf(each.received);
      if (ttl === undefined) continue;
      const age = this.#context.client.now() - each.putAt;
      this.note(each.queue, Math.max(0, ttl - age));
    }
  }

  /** Looks, from now on. */
  start(): void {
    if (this.#isOn || this.#isOver) return;
    this.#isOn = true;
    this.#arm();
  }

  /** Looks no more, for now. */
  stop(): void {
    this.#isOn = false;
    this.#stopTimer?.();
  }

  /** Never looks again; resolves when no look is under way. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.stop();
    await this.#looking;
  }

  /** Takes out what was found. */
  take(): readonly NatsReservation[] {
    return this.#found.length === 0 ? this.#found : this.#found.splice(0);
  }

  #arm(): void {
    this.#stopTimer?.();
    if (!this.#isOn || this.#looking !== undefined) return;
    const { clock } = this.#context;
    this.#listQueues();
    const next = Math.min(...this.#looks.values()) - clock.now();
    const pause = Math.min(Math.max(next, LEAST_PAUSE), LOOK_EVERY);
    this.#stopTimer = clock.timer(() => {
      this.#looking = this.#look().catch(() => {}).then(() => {
        this.#looking = undefined;
        this.#arm();
      });
    }, Math.ceil(pause));
  }

  /** Those that dead-letter now, of any connection. */
  #listQueues(): void {
    const { clock, tables } = this.#context;
    const names = new Set<string>();
    for (const { declaration, traits } of tables.view.topology.queues()) {
      if (traits.deadLetterExchange !== undefined) names.add(declaration.name);
    }
    for (const name of this.#looks.keys()) {
      if (!names.has(name)) this.#looks.delete(name);
    }
    for (const name of names) {
      if (!this.#looks.has(name)) this.#looks.set(name, clock.now());
    }
  }

  /** Looks at the queue whose turn it is. */
  async #look(): Promise<void> {
    const { clock } = this.#context;
    const [first] = [...this.#looks].sort(([, a], [, b]) => a - b);
    if (first === undefined || first[1] > clock.now()) return;
    const [queue] = first;
    const rest = Math.max(LOOK_EVERY, this.#looks.size * LEAST_PAUSE);
    this.#looks.set(queue, clock.now() + rest);
    const left = await this.#sweep(queue);
    if (left < rest && this.#looks.has(queue)) {
      this.#looks.set(queue, clock.now() + left);
    }
  }

  /** Takes what has expired from the head of a queue; returns ms until the next may. */
  async #sweep(queue: string): Promise<number> {
    const { takeOne, giveBack, found } = this.#context;
    for (;;) {
      const left = await this.#untilFirst(queue);
      if (left > 0 || !this.#isOn) return left;
      // It may be held by somebody: then the next comes, which is given back.
      const taken = await takeOne(queue);
      if (taken === undefined) return 1000;
      if (!taken.expired) {
        await giveBack(taken);
        return 1000;
      }
      this.#found.push(taken);
      found();
    }
  }

  /** Milliseconds until the first message of a queue expires; `Infinity` if it does not, or there is none. */
  async #untilFirst(queue: string): Promise<number> {
    const { client, queues } = this.#context;
    const names = await queues.find(queue);
    if (names === undefined) return Infinity;
    const pages = readPages(client, names.stream, names.ready, {
      batch: 1,
    });
    for await (const [first] of pages) {
      const ttl = first && ttlOf(first.message);
      return first === undefined || ttl === undefined
        ? Infinity
        : first.at + ttl - client.now();
    }
    return Infinity;
  }
}
