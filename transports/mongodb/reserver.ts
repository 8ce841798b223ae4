import { Notifier } from "../../async/notifier.ts";
import { Batchers } from "../../async/batcher.ts";
import { ClosedError } from "../../model/errors.ts";
import type {
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
} from "../store/store.ts";
import { allTaken } from "../store/taking.ts";
import { untilReserved } from "../store/waiting.ts";
import { notAnswered } from "../connection_errors.ts";
import { BroadcastReservation, type Fanout } from "./fanout.ts";
import type { Claims } from "./claims.ts";
import type { Context } from "./context.ts";
import { MongodbReservation } from "./reservation.ts";
import type { MongodbTables } from "./tables.ts";

/** The shortest wait between two looks, ms: right after something came. */
const SHORTEST = 10;
/** Milliseconds between two looks whether a queue was deleted elsewhere. */
const MISSING_LOOK = 5000;

/**
 * Waits for messages by looking again and again: the longer nothing came the
 * seldomer, from 10 ms to the polling interval, and then by one command for all
 * queues. A message that this connection puts itself is noticed at once.
 */
export class Reserver {
  readonly #notifier: Notifier;
  readonly #context: Context;
  readonly #claims: Claims;
  readonly #fanout: Fanout | undefined;
  readonly #tables: MongodbTables;
  /** Calls that do not wait, by queue. */
  readonly #getting: Batchers<string, Getter, readonly Reservation[]>;
  readonly #missing = new Set<string>();
  /** When something last came, on the clock. */
  #cameAt: number;
  /** When hidden messages are looked at next, on the clock. */
  #lookAt: number;
  /** When something hidden is known to be due, the server's time. */
  #nextAt = Infinity;
  #missingAt: number;

  /** Makes it for one connection. */
  constructor(
    context: Context,
    claims: Claims,
    broadcasts: Fanout | undefined,
    tables: MongodbTables,
  ) {
    const now = context.clock.now();
    this.#context = context;
    this.#claims = claims;
    this.#fanout = broadcasts;
    this.#tables = tables;
    this.#notifier = new Notifier(context.clock, context.limits);
    context.lifeline.onEnd(() => this.#notifier.notifyAll());
    this.#getting = new Batchers((queue) => ({
      limits: context.limits,
      count: 1000,
      // Calls that come meanwhile are served together, by one claim.
      atOnce: 1,
      actionOf: () => RESERVE,
      late: () => notAnswered(RESERVE, "unknown"),
      send: (getters) => this.#getAll(queue, getters),
    }));
    this.#cameAt = now;
    this.#lookAt = now + context.settings.pollingInterval;
    this.#missingAt = now + MISSING_LOOK;
  }

  /** Notes that queues were deleted by this connection. */
  noteDeleted(queues: readonly string[]): void {
    for (const queue of queues) this.#missing.add(queue);
    this.notePut(queues);
  }

  /** Notes that queues are there. */
  noteDeclared(queues: Iterable<string>): void {
    for (const queue of queues) this.#missing.delete(queue);
  }

  /** Notes that this connection hid something until a moment of the server's time. */
  noteDue(at: number): void {
    if (at >= this.#nextAt) return;
    this.#nextAt = at;
    this.#notifier.notifyAll();
  }

  /** Notes that there may be something to take. */
  notePut(queues: Iterable<string>): void {
    if (this.#notifier.isIdle) return;
    for (const queue of queues) this.#notifier.notify(queue);
  }

  /** Takes messages; waits for the first. */
  async reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { limits } = this.#context;
    limits.check(options, () => RESERVE);
    const call: Call = { wants, options, isAbandoned: false };
    const { deadline } = options;
    // The signal is for the loop: it gives back before it rejects.
    return await limits.wait(
      options.wait > 0 ? this.#wait(call) : this.#get(call),
      deadline === undefined ? undefined : { deadline },
      () => {
        call.isAbandoned = true;
        return notAnswered(RESERVE, "unknown");
      },
    );
  }

  async #wait(call: Call): Promise<Reserved> {
    const { clock } = this.#context;
    const { wants, options } = call;
    return await untilReserved(this.#notifier, clock, wants, options, {
      take: async (isFirst) => {
        this.#checkGoing(call);
        const missing = await this.#findMissing(wants);
        if (missing.length > 0) return { reservations: [], missing };
        const reservations = await this.#round(wants, isFirst, true);
        if (reservations.length === 0) this.#checkGoing(call);
        else {
          await this.#giveBackUnless(call, reservations);
          this.#cameAt = clock.now();
        }
        return { reservations, missing };
      },
      pause: () => this.#pause(),
    });
  }

  /** Takes ready messages, in the order of the calls. */
  async #get(call: Call): Promise<Reserved> {
    const reservations = await allTaken(
      call.wants.map(({ queue, limit }) =>
        this.#getting.add(queue, queue, { call, limit })
      ),
    );
    await this.#giveBackUnless(call, reservations);
    this.#checkGoing(call);
    return { reservations, missing: [] };
  }

  async #getAll(
    queue: string,
    getters: readonly Getter[],
  ): Promise<readonly (readonly Reservation[])[]> {
    let left = getters.reduce((sum, { limit }) => sum + limit, 0);
    const taken: Reservation[] = [];
    while (left > 0) {
      const found = await this.#round([{ queue, limit: left }], true, false)
        .catch((error) => {
          if (taken.length === 0) throw error;
          return [];
        });
      if (found.length === 0) break;
      taken.push(...found);
      left -= found.length;
    }
    const results = getters.map(({ call, limit }) =>
      this.#isOver(call) ? [] : taken.splice(0, limit)
    );
    if (taken.length > 0) await this.#giveBack(taken);
    return results;
  }

  /** Gives back messages that no call waits for any more. */
  async #giveBackUnless(
    call: Call,
    taken: readonly Reservation[],
  ): Promise<void> {
    if (!this.#isOver(call)) return;
    await this.#giveBack(taken);
    this.#checkGoing(call);
  }

  async #giveBack(taken: readonly Reservation[]): Promise<void> {
    this.#fanout?.giveBack(
      taken.filter((each) => each instanceof BroadcastReservation),
    );
    await this.#claims.giveBack(
      taken.filter((each) => each instanceof MongodbReservation),
    );
    this.notePut(new Set(taken.map(({ queue }) => queue)));
  }

  #isOver({ options: { signal }, isAbandoned }: Call): boolean {
    return isAbandoned || signal?.aborted === true ||
      this.#context.lifeline.reason !== undefined;
  }

  #checkGoing({ options: { signal }, isAbandoned }: Call): void {
    signal?.throwIfAborted();
    const refusal = this.#context.lifeline.refusal(RESERVE, undefined);
    if (refusal !== undefined) throw refusal;
    if (isAbandoned) throw new ClosedError("Cannot reserve messages: too late");
  }

  async #round(
    wants: readonly ReserveWant[],
    isFirst: boolean,
    isWaiting: boolean,
  ): Promise<readonly Reservation[]> {
    const { clock } = this.#context;
    const mustLook = clock.now() >= this.#lookAt ||
      this.#context.now() >= this.#nextAt;
    const heard = await this.#fanout?.take(wants) ?? [];
    if (heard.length > 0) return heard;
    if (isWaiting) {
      const dead = await this.#claims.takeDead();
      if (dead.length > 0) return dead;
    }
    // Of many queues, or those that were empty for long, one look finds those that are not.
    const isBusy = wants.length <= FEW &&
      clock.now() - this.#cameAt < this.#context.settings.pollingInterval;
    if (
      wants.length === 1 ? isFirst || !mustLook : isFirst && isBusy
    ) {
      const taken = await this.#claims.takeAll(wants);
      if (taken.length > 0) {
        // Consumers of busy queues must not leave messages behind that became due.
        // What was taken is handed over all the same: the next call looks again.
        if (mustLook) await this.#look(wants).catch(() => {});
        return taken;
      }
      if (isWaiting && !mustLook) return [];
    }
    const ready = await this.#look(wants);
    return await this.#claims.takeAll(
      wants.filter(({ queue }) => ready.has(queue)),
    );
  }

  async #look(wants: readonly ReserveWant[]): Promise<ReadonlySet<string>> {
    const { clock, settings: { pollingInterval } } = this.#context;
    const before = this.#nextAt;
    this.#nextAt = Infinity; // a later put is noted anew
    const look = await this.#claims.look(wants, pollingInterval)
      .catch((error) => {
        this.#nextAt = Math.min(this.#nextAt, before);
        throw error;
      });
    this.#nextAt = Math.min(this.#nextAt, look.nextAt);
    this.#lookAt = clock.now() + (look.complete ? pollingInterval : SHORTEST);
    return look.ready;
  }

  async #findMissing(
    wants: readonly ReserveWant[],
  ): Promise<readonly string[]> {
    const { clock } = this.#context;
    const names = wants.map(({ queue }) => queue);
    if (clock.now() >= this.#missingAt) {
      this.#missingAt = clock.now() + MISSING_LOOK;
      this.noteDeleted(await this.#tables.findMissing(names));
    }
    return this.#missing.size === 0
      ? []
      : names.filter((name) => this.#missing.delete(name));
  }

  /** Milliseconds until the next look: the longer nothing came the more. */
  #pause(): number {
    const { clock, settings: { pollingInterval } } = this.#context;
    const idle = clock.now() - this.#cameAt;
    const now = this.#context.now();
    return Math.min(
      Math.min(Math.max(idle / 2, SHORTEST), pollingInterval),
      Math.max(this.#nextAt - now, 0),
      Math.max(this.#claims.deadIn(now), 1),
    );
  }
}

const RESERVE = "reserve messages";

/** So many queues are asked one by one while messages come. */
const FEW = 8;

interface Call {
  readonly wants: readonly ReserveWant[];
  readonly options: ReserveOptions;
  /** Whether its deadline was missed: nobody waits for it any more. */
  isAbandoned: boolean;
}

/** A call that wants the ready messages of a queue. */
interface Getter {
  readonly call: Call;
  readonly limit: number;
}
