import { Notifier } from "../../async/notifier.ts";
import { ClosedError } from "../../model/errors.ts";
import type { Reserved, ReserveOptions, ReserveWant } from "../store/store.ts";
import { decode, type RedisArgument, type RedisReply } from "./reply.ts";
import type { Context } from "./context.ts";
import { replyError } from "./errors.ts";
import type { Fanout } from "./fanout.ts";
import type { RedisOptions } from "./options.ts";
import { keyIn, readTaken, type RedisReservation } from "./reservation.ts";
import { Yielding } from "./yielding.ts";

/** How often all queues are looked at, though nothing was heard of them, ms. */
const SWEEP = 5000;

/** How often queues are looked at where the server tells of no changes: at first, and at the most, ms. */
const FIRST_POLL = 10;
const LAST_POLL = 1000;

/** How soon after a change of the tables waiting consumers look whether their queue is still there, ms. */
const TABLES_DELAY = 250;

/** The messages that a look at some queues brought. */
interface Taken {
  readonly reservations: RedisReservation[];
  readonly failed: Map<string, Error>;
  /** When time alone will next change something, on our clock. */
  readonly next: number;
}

/**
 * Takes messages, and waits for them without asking: the server notifies it when one of the
 * lists that were found empty changes.
 */
export class Reserver {
  readonly #context: Context;
  readonly #fanout: Fanout;
  readonly #strategy: RedisOptions["queueOrderStrategy"];
  /** Queues that were found empty, and of which the server has told nothing since. */
  readonly #empty = new Set<string>();
  /** Of the calls that sleep. */
  readonly #notifier: Notifier;
  /** Queues that were declared when they were first asked for: if they go, their consumers end. */
  readonly #declared = new Set<string>();
  readonly #giveBack: (reservations: readonly RedisReservation[]) => void;
  readonly #refresh: () => Promise<void>;
  readonly #yielding: Yielding;
  #rings: boolean;
  #sweptAt = -Infinity;
  /** How long to wait until the next look, without notifications: longer each time that there was nothing. */
  #poll = FIRST_POLL;
  #refreshedAt: number;
  #turn = 0;
  #last: string | undefined; // where a script had taken enough: the next goes on behind it
  #tablesChanged = false;
  /** How often it was heard that time changes something sooner than was said. */
  #sooner = 0;
  #stopTablesTimer: (() => void) | undefined;
  #over: Error | undefined;

  /** Makes one; `rings` says whether the server notifies of changes. */
  constructor(
    context: Context,
    fanout: Fanout,
    settings: {
      readonly strategy: RedisOptions["queueOrderStrategy"];
      readonly rings: boolean;
      giveBack(reservations: readonly RedisReservation[]): void;
      /** Reads the changes of the tables. */
      refresh(): Promise<void>;
    },
  ) {
    this.#context = context;
    this.#fanout = fanout;
    this.#strategy = settings.strategy;
    this.#rings = settings.rings;
    this.#giveBack = settings.giveBack;
    this.#refresh = settings.refresh;
    this.#notifier = new Notifier(context.clock, context.limits);
    this.#refreshedAt = context.clock.now();
    this.#yielding = new Yielding(context.clock, {
      peek: (queue) =>
        context.commands.watch(
          "look into a queue",
          context.layout.places(queue, this.#isOrdered(queue)),
        ),
      ring: (queue) => this.ring(queue),
    });
  }

  /** A queue may have messages. */
  ring(queue: string): void {
    this.#yielding.forget(queue);
    this.#empty.delete(queue);
    this.wake(queue);
  }

  /** A list has changed. */
  ringList(key: string): void {
    const queue = this.#context.layout.queueOf(key);
    if (queue === undefined) return;
    const { mirror, owner } = this.#context;
    const consumers = mirror.topology.queue(queue)?.consumers ?? [];
    const isAwaited = consumers.some((each) => each.owner !== owner) &&
      this.#notifier.hears(queue);
    this.#yielding.tell(queue, isAwaited);
  }

  /** A queue has messages that no list has. */
  wake(queue: string): void {
    this.#notifier.notify(queue);
  }

  /** Any queue may have messages. */
  ringAll(): void {
    this.#empty.clear();
    this.ringDue();
  }

  /** Time will change something sooner than it was said. */
  ringDue(): void {
    this.#sooner++;
    this.#notifier.notifyAll();
  }

  /** The tables have changed: those that churn are looked at once for many changes. */
  ringTables(): void {
    if (this.#notifier.isIdle) {
      this.#tablesChanged = true;
      return;
    }
    this.#stopTablesTimer ??= this.#context.clock.timer(() => {
      this.#stopTablesTimer = undefined;
      this.#tablesChanged = true;
      this.ringDue();
    }, TABLES_DELAY);
  }

  /** The mirror of the tables is new: queues that are no longer in it end their consumers. */
  lookAgain(): void {
    for (const queue of this.#declared) {
      if (this.#context.mirror.topology.queue(queue) !== undefined) continue;
      if (this.#notifier.hears(queue)) this.wake(queue);
      else this.#declared.delete(queue);
    }
  }

  /** Ends what waits. */
  close(error: Error): void {
    this.#over = error;
    this.#stopTablesTimer?.();
    this.#yielding.close();
    this.ringDue();
  }

  /** Takes messages of some queues, and waits for the first if there are none. */
  async reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { signal, wait, deadline } = options;
    signal?.throwIfAborted();
    if (wait <= 0) return await this.#reserveOnce(wants, options);
    const until = this.#context.clock.now() + wait;
    for (;;) {
      if (this.#over !== undefined) throw this.#over;
      const refreshing = this.#refreshIfOld();
      if (refreshing !== undefined) await refreshing;
      const missing = this.#missing(wants);
      const sooner = this.#sooner;
      const { reservations, failed, next } = await this.#take(wants, deadline);
      const now = this.#context.clock.now();
      if (reservations.length > 0) this.#poll = FIRST_POLL;
      if (
        reservations.length > 0 || missing.length > 0 || failed.size > 0 ||
        now >= until
      ) return { reservations, missing, failed };
      signal?.throwIfAborted();
      const look = this.#rings ? Infinity : now + this.#poll;
      this.#poll = Math.min(this.#poll * 2, LAST_POLL);
      await this.#wait(wants, Math.min(until, next, look), sooner, signal);
    }
  }

  /** Without notifications about the tables, they are read again as often as all queues are looked at. */
  #refreshIfOld(): Promise<void> | undefined {
    const now = this.#context.clock.now();
    const isOld = !this.#rings && now - this.#refreshedAt >= SWEEP;
    if (!isOld && !this.#tablesChanged) return undefined;
    this.#refreshedAt = now;
    this.#tablesChanged = false;
    return this.#refresh();
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
      taking.then(({ reservations }) => this.#giveBack(reservations), () => {});
      throw error;
    }
  }

  #missing(wants: readonly ReserveWant[]): string[] {
    const { topology } = this.#context.mirror;
    const missing: string[] = [];
    for (const { queue } of wants) {
      if (topology.queue(queue)?.foreign === false) this.#declared.add(queue);
      else if (this.#declared.delete(queue)) missing.push(queue);
    }
    return missing;
  }

  /** Returns the queues that may have messages, in the order in which they are to be served. */
  #notEmpty(wants: readonly ReserveWant[]): readonly ReserveWant[] {
    const now = this.#context.clock.now();
    if (now - this.#sweptAt >= SWEEP || !this.#rings) {
      this.#sweptAt = now;
      this.#empty.clear();
    }
    const wanted = wants.filter(({ queue }) => !this.#empty.has(queue));
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
      const traits = mirror.topology.queue(queue)?.traits;
      const isOrdered = traits?.ordered ?? false;
      if (isOrdered) ordered.add(queue);
      args.push(queue, isOrdered ? -limit : limit, traits?.expires ?? "");
      for (const each of layout.places(queue, isOrdered)) watched.push(each);
      // Before the answer: a notification may come ahead of it.
      if (!lookAtAll) this.#empty.add(queue);
    }
    const sentAt = this.#context.clock.now();
    try {
      const reply = await this.#context.runList("take", "take messages", args, {
        deadline,
        watched,
        late: (reply) => {
          const taken = this.#read(
            asked,
            ordered,
            Array.isArray(reply) ? reply : [],
            [],
          );
          this.#giveBack(taken.reservations);
        },
      });
      this.#context.setServerNow(reply[0], sentAt);
      return this.#read(asked, ordered, reply, here);
    } catch (error) {
      for (const { queue, bytes } of here.reverse()) {
        this.#fanout.restore(queue, bytes);
      }
      for (const { queue } of asked) this.#empty.delete(queue);
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
    for (const queue of ripe) this.ring(queue);
    const failed = new Map<string, Error>();
    this.#last = undefined;
    const context = this.#context;
    const add = (taken: RedisReservation | undefined) => {
      if (taken !== undefined) reservations.push(taken);
    };
    const dead = Array.isArray(expired) ? expired : [];
    for (let i = 0; i < dead.length; i += 4) {
      const [queue, number, bytes, lineage] = dead.slice(i, i + 4);
      const from = { queue: decode(queue), lineage: decode(lineage) };
      add(readTaken(context, from, number, bytes));
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
        this.#empty.delete(queue);
        return;
      }
      if (full === 1 && entries.length > 1) this.#last = queue;
      this.#yielding.looked(queue, entries.length > 1);
      const from = { queue, lineage: decode(entries[0]) };
      const isOrdered = ordered.has(queue);
      const width = isOrdered ? 3 : 2;
      for (let j = 1; j < entries.length; j += width) {
        const key = isOrdered ? keyIn(entries[j + 2]) : undefined;
        add(readTaken(context, from, entries[j], entries[j + 1], key));
      }
      // As many as were wanted, or as much as is given at once: there may be more.
      const isFilled = entries.length > limit * width;
      if (full === 1 || isFilled) this.#empty.delete(queue);
    });
    const next = Number(due) < 0
      ? Infinity
      : this.#context.toLocal(Number(due));
    return { reservations, failed, next };
  }

  #isOrdered(queue: string): boolean {
    return this.#context.mirror.topology.queue(queue)?.traits.ordered ?? false;
  }

  async #wait(
    wants: readonly ReserveWant[],
    until: number,
    sooner: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    // Nobody has looked at a queue that notified us while the answer was on its way.
    const rang = this.#sooner !== sooner ||
      wants.some(({ queue }) =>
        this.#fanout.count(queue) > 0 ||
        (this.#rings && !this.#empty.has(queue))
      );
    if (rang || this.#over !== undefined) return;
    const listener = this.#notifier.enter(wants.map(({ queue }) => queue));
    try {
      const time = until - this.#context.clock.now();
      await this.#notifier.sleep(listener, time, signal);
    } finally {
      this.#notifier.leave(listener);
    }
  }
}
