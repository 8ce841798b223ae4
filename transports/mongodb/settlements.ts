import type { CallOptions } from "../../model/call_options.ts";
import type { ReleaseOptions, Reservation } from "../store/store.ts";
import { BroadcastReservation } from "./fanout.ts";
import type { Context } from "./context.ts";
import { markedPayload, rankIn } from "./documents.ts";
import type { LaneReturns } from "./lane_returns.ts";
import type { Lanes } from "./lanes.ts";
import {
  filtersOf,
  MongodbReservation,
  releaseStatement,
} from "./reservation.ts";
import type { UpdateStatement } from "./port.ts";
import type { Reserver } from "./reserver.ts";

/**
 * Settles claimed messages, by the claim: a message that is no longer ours is
 * nobody's to touch. Many are settled by one command, whose answer is a number;
 * those whose lease may have run out go one by one, so that each has its own.
 */
export class Settlements {
  readonly #context: Context;
  readonly #lanes: Lanes;
  readonly #returns: LaneReturns;
  readonly #reserver: Reserver;

  /** Makes it for one connection; the reserver hears of what is there again. */
  constructor(
    context: Context,
    lanes: Lanes,
    returns: LaneReturns,
    reserver: Reserver,
  ) {
    this.#context = context;
    this.#lanes = lanes;
    this.#returns = returns;
    this.#reserver = reserver;
  }

  /** Forgets messages. */
  async remove(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const { client, settings: { names } } = this.#context;
    return await this.settle(
      reservations,
      (held) => {
        const removing = this.#context.call(
          "remove messages",
          options,
          () => client.remove(names.messages, filtersOf(held)),
        );
        return held.some(hasLane) ? this.free(held, removing) : removing;
      },
    );
  }

  /** Lets the keys of settled messages have another turn, when they are. */
  async free<T>(
    held: readonly MongodbReservation[],
    settling: Promise<T>,
  ): Promise<T> {
    const settled = await settling;
    const keyed = held.filter(hasLane);
    await this.#lanes.free(keyed);
    this.#reserver.notePut(new Set(keyed.map(({ queue }) => queue)));
    return settled;
  }

  /** Puts messages back to where they were. */
  async release(
    reservations: readonly Reservation[],
    options: ReleaseOptions = {},
  ): Promise<readonly Reservation[]> {
    await this.#keep(reservations.filter(isBroadcast), options);
    const { delay = 0 } = options;
    const { client, settings: { names } } = this.#context;
    const lost = await this.settle(reservations, async (held) => {
      const statements = held.every(isPlain)
        ? held.map((each) => releaseStatement(each, false))
        : this.#returns.again(held, options);
      // Its next attempt waits for it, and so may its key.
      const { matched } = await this.#context.callAgain(
        "release messages",
        () => client.update(names.messages, statements, { safe: false }),
        options,
      );
      return matched;
    });
    if (delay > 0) this.#reserver.noteDue(this.#context.now() + delay);
    this.#reserver.notePut(new Set(reservations.map(({ queue }) => queue)));
    return lost;
  }

  /** A broadcast message is in no queue: it is put into its queue. */
  async #keep(
    reservations: readonly BroadcastReservation[],
    options?: CallOptions,
  ): Promise<void> {
    if (reservations.length === 0) return;
    const { client, settings: { names } } = this.#context;
    await this.#context.call("release messages", options, () =>
      client.insert(
        names.messages,
        reservations.map(({ queue, message, document }) => ({
          _id: client.newId(),
          payload: markedPayload(document, message, false) ?? document.payload,
          queue,
          priority: rankIn(document, message),
          deliveries: 1,
        })),
      ));
  }

  /** Holds messages for another lease. */
  async renew(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const { client, settings: { names, lease } } = this.#context;
    const held = reservations.filter(isOurs);
    const until = this.#context.now() + lease;
    const filters = filtersOf(held, "leases");
    const matched = await this.update(
      "renew leases",
      filters.map((filter) => ({
        filter,
        update: { $set: { priority: until } },
        many: true,
      })),
      options,
    );
    let lost: readonly MongodbReservation[] = [];
    if (matched < held.length) {
      const found = await this.#context.call(
        "renew leases",
        options,
        () =>
          client.find(names.messages, { $or: filters }, {
            projection: { claim: 1, holder: 1 },
          }),
      );
      const ours = new Set(
        found.map(({ _id, claim, holder }) => `${_id} ${claim ?? holder}`),
      );
      lost = held.filter(({ handle }) => !ours.has(handle));
    }
    for (const each of held) {
      if (!lost.includes(each)) each.leasedUntil = until;
    }
    return lost;
  }

  /** Makes statements on messages; returns how many of those it met. */
  async update(
    action: string,
    statements: readonly UpdateStatement[],
    options?: CallOptions,
  ): Promise<number> {
    if (statements.length === 0) return 0;
    const { client, settings: { names } } = this.#context;
    const { matched } = await this.#context.call(
      action,
      options,
      () => client.update(names.messages, statements, { safe: false }),
    );
    return matched;
  }

  /** Settles by the claim, some at once and some alone; returns those that were no longer ours. */
  async settle(
    reservations: readonly Reservation[],
    settle: (held: readonly MongodbReservation[]) => Promise<number>,
  ): Promise<readonly Reservation[]> {
    const now = this.#context.now();
    const sure: MongodbReservation[] = [];
    const late: MongodbReservation[] = [];
    for (const each of reservations) {
      if (isOurs(each)) (each.leasedUntil > now ? sure : late).push(each);
    }
    const lost: Reservation[] = [];
    await Promise.all([
      ...late.map(async (each) => {
        if (await settle([each]) === 0) lost.push(each);
      }),
      sure.length === 0 ? undefined : settle(sure).then((settled) => {
        // Some and not all: their queue was purged or deleted, and with the queue
        // went the question whose they are.
        if (settled === 0) lost.push(...sure);
      }),
    ]);
    return lost;
  }
}

/** Says whether a message was broadcast, and lies nowhere. */
export function isBroadcast(each: Reservation): each is BroadcastReservation {
  return each instanceof BroadcastReservation;
}

function hasLane({ lane }: MongodbReservation): boolean {
  return lane !== undefined;
}

function isPlain({ isOrdered }: MongodbReservation): boolean {
  return !isOrdered;
}

function isOurs(each: Reservation): each is MongodbReservation {
  return each instanceof MongodbReservation;
}
