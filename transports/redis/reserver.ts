import { ClosedError } from "../../model/errors.ts";
import type { Reserved, ReserveOptions, ReserveWant } from "../store/store.ts";
import { untilReserved } from "../store/waiting.ts";
import { decode, type RedisArgument, type RedisReply } from "./reply.ts";
import type { Context } from "./context.ts";
import { NotNowError } from "../connection_errors.ts";
import { replyError } from "./errors.ts";
import type { Fanout } from "./fanout.ts";
import type { News } from "./news.ts";
import type { RedisOptions } from "./options.ts";
import type { Refusing } from "./refusing.ts";
import {
  keyIn,
  readAllTaken,
  readTaken,
  type RedisReservation,
} from "./reservation.ts";
import type { Settlements } from "./settlements.ts";

/** How often all queues are looked at, though nothing was heard of them, ms. */
const SWEEP = 5000;

/** How often queues are looked at where the server tells of no changes: at first, and at the most, ms. */
const FIRST_POLL = 10;
const LAST_POLL = 1000;

/** When a server that takes no writes for now is asked again, ms. */
const AGAIN = 500;

/** The messages that a look at some queues brought. */
interface Taken {
  readonly reservations: RedisReservation[];
  readonly failed: Map<string, Error>;
  /** When time alone will next change something, on our clock. */
  readonly next: number;
}

/** What a look brings that was refused. */
const NOTHING: Taken & Pick<Reserved, "missing"> = {
  reservations: [],
  failed: new Map(),
  next: Infinity,
  missing: [],
};

/**
 * Takes messages, and waits for them without asking: the server notifies it when one of the
 * lists that were found empty changes.
 */
export class Reserver {
  readonly #context: Context;
  readonly #news: News;
  readonly #fanout: Fanout;
  readonly #settlements: Settlements;
  readonly #strategy: RedisOptions["queueOrderStrategy"];
  /** Queues that were declared when they were first asked for: if they go, their consumers end. */
  readonly #declared = new Set<string>();
  readonly #refresh: () => Promise<void>;
  readonly #refusing: Refusing;
  readonly #rings: boolean;
  #sweptAt = -Infinity;
  /** How long to wait until the next look, without notifications: longer each time that there was nothing. */
  #poll = FIRST_POLL;
  #refreshedAt: number;
  #turn = 0;
  #last: string | undefined; // where a script had taken enough: the next goes on behind it
  #over: Error | undefined;
  /** Queues of which the server has refused to give messages, and when it did last: in a cluster they may be of one node. */
  readonly #refused = new Map<string, number>();
  /** Until when a server is left alone that takes no writes for now. */
  #restsUntil = -Infinity;

  /** Makes one; `rings` says whether the server notifies of changes, and `refresh` reads those of the tables. */
  constructor(
    context: Context,
    news: News,
    fanout: Fanout,
    settlements: Settlements,
    settings: {
      readonly strategy: RedisOptions["queueOrderStrategy"];
      readonly rings: boolean;
      readonly refusing: Refusing;
      refresh(): Promise<void>;
    },
  ) {
    this.#context = context;
    this.#news = news;
    this.#fanout = fanout;
    this.#settlements = settlements;
    this.#strategy = settings.strategy;
    this.#rings = settings.rings;
    this.#refresh = settings.refresh;
    this.#refusing = settings.refusing;
    this.#refreshedAt = context.clock.now();
  }

  /** The mirror of the tables is new: queues that are no longer in it end their consumers. */
  lookAgain(): void {
    for (const queue of this.#declared) {
      if (this.#context.mirror.topology.queue(queue) !== undefined) continue;
      if (this.#news.notifier.hears(queue)) this.#news.wake(queue);
      else this.#declared.delete(queue);
    }
  }

  /** Ends what waits. */
  close(error: Error): void {
    this.#over = error;
    this.#news.close();
  }

  /** Takes messages of some queues, and waits for the first if there are none. */
  async reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { signal, wait, deadline } = options;
    signal?.throwIfAborted();
    if (wait <= 0) return await this.#reserveOnce(wants, options);
    const { clock } = this.#context;
    const { notifier, empty } = this.#news;
    return await untilReserved(notifier, clock, wants, options, {
      take: async () => {
        signal?.throwIfAborted();
        if (this.#over !== undefined) throw this.#over;
        try {
          const refreshing = this.#refreshIfOld();
          if (refreshing !== undefined) await refreshing;
          const missing = this.#missing(wants);
          const taken = await this.#take(wants, deadline);
          if (taken.reservations.length > 0) this.#poll = FIRST_POLL;
          return { ...taken, missing };
        } catch (error) {
          // The consumer, and what it holds, stay.
          if (!(error instanceof NotNowError)) throw error;
          this.#restsUntil = clock.now() + AGAIN;
          for (const { queue } of wants) this.#refuse(queue, error);
          return NOTHING;
        }
      },
      pause: ({ next }) => {
        const rest = this.#restsUntil - clock.now();
        if (rest > 0) return rest;
        const left = next - clock.now();
        if (this.#rings) {
          return wants.every(({ queue }) => empty.has(queue)) ? left : 0;
        }
        const look = this.#poll;
        this.#poll = Math.min(look * 2, LAST_POLL);
        return Math.min(left, look);
      },
    });
  }

  /** The server takes no writes now, where the queue is. */
  #refuse(queue: string, { reply }: NotNowError): void {
    this.#refused.set(queue, this.#context.clock.now());
    this.#refusing.begin(this, reply);
  }

  /** The server has given what it had of a queue. */
  #given(queues: Iterable<string>): void {
    if (this.#refused.size === 0) return;
    for (const queue of queues) this.#refused.delete(queue);
    // Of some nobody wants any more.
    const before = this.#context.clock.now() - 10 * AGAIN;
    for (const [queue, at] of this.#refused) {
      if (at < before) this.#refused.delete(queue);
    }
    if (this.#refused.size === 0) this.#refusing.end(this);
  }

  /** Without notifications about the tables, they are read again as often as all queues are looked at. */
  #refreshIfOld(): Promise<void> | undefined {
    const now = this.#context.clock.now();
    const isOld = !this.#rings && now - this.#refreshedAt >= SWEEP;
    if (!this.#news.readTables() && !isOld) return undefined;
    this.#refreshedAt = now;
    return this.#refresh().catch((error: unknown) => {
      this.#news.ringTables(); // they are as old as before
      throw error;
    });
  }

  async #reserveOnce(
    wants: readonly ReserveWant[],
    { signal, deadline }: ReserveOptions,
  ): Promise<Reserved> {
    if (this.#over !== undefined) throw this.#over;
    const taking = this.#take(wants, deadline, true);
    try {
      const { reservations, failed } = await this.#context.limits.wait(
        taking,
        { signal },
        () => new ClosedError("Cannot reserve messages"), // there is no deadline
      );
      return { reservations, failed, missing: [] };
    } catch (error) {
      taking.then(
        ({ reservations }) => this.#settlements.giveBack(reservations),
        () => {},
      );
      throw error;
    }
  }

  #missing(wants: readonly ReserveWant[]): string[] {
    const { mirror } = this.#context;
    const missing: string[] = [];
    for (const { queue } of wants) {
      if (mirror.isDeclared(queue)) this.#declared.add(queue);
      else if (this.#declared.delete(queue)) missing.push(queue);
    }
    return missing;
  }

  /**
   * Forgets from time to time which queues were empty. Where they have one server, it is asked
   * of all that are wanted in one command whether they still are.
   */
  #sweep(wants: readonly ReserveWant[]): Promise<void> | undefined {
    const { clock, isSharded } = this.#context;
    const { empty } = this.#news;
    const now = clock.now();
    if (this.#rings && now - this.#sweptAt < SWEEP) return undefined;
    this.#sweptAt = now;
    if (this.#rings && !isSharded) return this.#lookInto(wants);
    empty.clear();
    return undefined;
  }

  async #lookInto(wants: readonly ReserveWant[]): Promise<void> {
    const { commands, layout, mirror } = this.#context;
    const { empty } = this.#news;
    const places: string[] = [];
    const still = new Set<string>();
    for (const { queue } of wants) {
      const { ordered, expires } = mirror.traitsOf(queue);
      // Who takes from a queue also says that it is used.
      if (!empty.has(queue) || expires !== undefined) continue;
      still.add(queue);
      places.push(...layout.places(queue, ordered));
    }
    for (const queue of empty) if (!still.has(queue)) empty.delete(queue);
    if (places.length === 0) return;
    try {
      const isThere = await commands.watch("look at queues", places);
      if (isThere) empty.clear();
    } catch (error) {
      empty.clear();
      throw error;
    }
  }

  /** Returns the queues that may have messages, in the order in which they are to be served. */
  #notEmpty(wants: readonly ReserveWant[]): readonly ReserveWant[] {
    const wanted = wants.filter(({ queue }) => !this.#news.empty.has(queue));
    if (wanted.length < 2) return wanted;
    switch (this.#strategy) {
      case "priority":
        return wanted;
      case "sorted":
        return wanted.toSorted((a, b) => a.queue < b.queue ? -1 : 1);
      case "round-robin": {
        const last = wanted.findIndex(({ queue }) => queue === this.#last);
        const first = (last < 0 ? this.#turn++ : last + 1) % wanted.length;
        return [...wanted.slice(first), ...wanted.slice(0, first)];
      }
    }
  }

  async #take(
    wants: readonly ReserveWant[],
    deadline: number | undefined,
    lookAtAll = false,
  ): Promise<Taken> {
    const sweeping = lookAtAll ? undefined : this.#sweep(wants);
    if (sweeping !== undefined) await sweeping;
    const here: RedisReservation[] = [];
    const unfilled: ReserveWant[] = [];
    for (const { queue, limit } of wants) {
      const arrived = this.#fanout.take(queue, limit);
      here.push(...arrived);
      if (arrived.length < limit) {
        unfilled.push({ queue, limit: limit - arrived.length });
      }
    }
    const asked = lookAtAll ? unfilled : this.#notEmpty(unfilled);
    if (here.length > 0 && asked.length === 0) {
      return { reservations: here, failed: new Map(), next: Infinity };
    }
    const { layout, mirror, fields } = this.#context;
    const args: RedisArgument[] = [
      fields,
      this.#context.nextNumbers(1_000_000),
    ];
    const watched = [layout.due, layout.topology];
    const ordered = new Set<string>();
    for (const { queue, limit } of asked) {
      const { ordered: isOrdered, expires = "" } = mirror.traitsOf(queue);
      if (isOrdered) ordered.add(queue);
      args.push(queue, isOrdered ? -limit : limit, expires);
      for (const each of layout.places(queue, isOrdered)) watched.push(each);
      // Before the answer: a notification may come ahead of it.
      if (!lookAtAll) this.#news.empty.add(queue);
    }
    const sentAt = this.#context.clock.now();
    try {
      const reply = await this.#context.runList("take", "take messages", args, {
        deadline,
        watched,
        refused: (queue, error) => this.#refuse(queue, error),
        late: (reply) => {
          const taken = this.#read(
            asked,
            ordered,
            Array.isArray(reply) ? reply : [],
            [],
          );
          this.#settlements.giveBack(taken.reservations);
        },
      });
      this.#context.setServerNow(reply[0], sentAt);
      const given = asked.filter((_, i) => reply[5 + i] !== null);
      this.#given(given.map(({ queue }) => queue));
      return this.#read(asked, ordered, reply, here);
    } catch (error) {
      for (const { queue, bytes } of here.reverse()) {
        this.#fanout.restore(queue, bytes);
      }
      for (const { queue } of asked) this.#news.empty.delete(queue);
      throw error;
    }
  }

  #read(
    asked: readonly ReserveWant[],
    ordered: ReadonlySet<string>,
    reply: readonly RedisReply[],
    reservations: RedisReservation[],
  ): Taken {
    const [_, due, expired, moved, full, ...taken] = reply;
    const ripe = new Set(Array.isArray(moved) ? moved.map(decode) : []);
    for (const { queue } of asked) ripe.delete(queue);
    for (const queue of ripe) this.#news.ring(queue);
    const failed = new Map<string, Error>();
    this.#last = undefined;
    const context = this.#context;
    const now = context.serverNow;
    if (Array.isArray(expired)) {
      reservations.push(...readAllTaken(context, expired, now));
    }
    asked.forEach(({ queue, limit }, i) => {
      const entries = taken[i];
      if (entries === null) {
        // Its slot did not answer, in a cluster: the next look is at all of them.
        this.#sweptAt = -Infinity;
        return;
      }
      if (!Array.isArray(entries)) {
        failed.set(
          queue,
          replyError(`take messages of queue "${queue}"`, decode(entries)),
        );
        this.#news.empty.delete(queue);
        return;
      }
      if (full === 1 && entries.length > 1) this.#last = queue;
      this.#news.looked(queue, entries.length > 1);
      const from = { queue, lineage: decode(entries[0]) };
      const isOrdered = ordered.has(queue);
      const width = isOrdered ? 3 : 2;
      for (let j = 1; j < entries.length; j += width) {
        const key = isOrdered ? keyIn(entries[j + 2]) : undefined;
        const [number, bytes] = [entries[j], entries[j + 1]];
        const taken = readTaken(context, from, number, bytes, now, key);
        if (taken !== undefined) reservations.push(taken);
      }
      // As many as were wanted, or as much as is given at once: there may be more.
      const isFilled = entries.length > limit * width;
      if (full === 1 || isFilled) this.#news.empty.delete(queue);
    });
    const next = Number(due) < 0
      ? Infinity
      : this.#context.toLocal(Number(due));
    return { reservations, failed, next };
  }
}
