import { Batchers } from "../../async/batcher.ts";
import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Reservation } from "../store/store.ts";
import { batchesOf } from "./batches.ts";
import { type Failure, isDenied, mayPass, requestError } from "./errors.ts";
import type { SqsQueue } from "./queues.ts";
import { SqsReservation } from "./reservation.ts";

/** Batches of settlements of a queue that may be under way at once: their order does not matter. */
const AT_ONCE = 8;

/** The settlement of messages that are ours: seconds out of sight, or removed. */
type Verb = number | "remove";

/**
 * Removes, gives back and holds messages, in batches of ten. SQS itself takes a receipt
 * whose time is over, and says that all is well: so that is told by our own clock.
 */
export class Settlements {
  readonly #clock: Clock;
  readonly #batchers: Batchers<Target, string, Failure | undefined>;

  /** Makes one with nothing to do. */
  constructor(clock: Clock, limits: Limits) {
    this.#clock = clock;
    this.#batchers = new Batchers(({ from: { queue, url, client }, verb }) => ({
      ...batchesOf(limits, settleAction(queue)),
      atOnce: AT_ONCE,
      send: (handles, options) =>
        verb === "remove"
          ? client.remove(url, handles, options)
          : client.changeVisibility(url, handles, verb, options),
    }));
  }

  /** Says whether a message is still ours. */
  isOurs(reservation: Reservation): reservation is SqsReservation {
    return reservation instanceof SqsReservation && !reservation.isOver &&
      reservation.until > this.#clock.now();
  }

  /**
   * Removes messages, or puts them back in sight with 0 seconds. Returns those that were
   * not ours. If one of them fails by no fault of its own it rejects when all have been
   * tried.
   */
  settle(
    reservations: readonly Reservation[],
    verb: Verb | ((reservation: SqsReservation) => Verb),
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return this.#ofOurs(reservations, async (each) => {
      const chosen = typeof verb === "function" ? verb(each) : verb;
      const isDone = await this.#settleOne(each, chosen, options);
      if (isDone) each.isOver = true;
      return isDone;
    });
  }

  /** Holds messages for so many ms more, as far as SQS lets us. Returns those that were not ours. */
  async hold(
    reservations: readonly Reservation[],
    lease: number,
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const now = this.#clock.now();
    return await this.#ofOurs(reservations, async (each) => {
      const seconds = each.secondsOf(lease, now);
      // In its last second it is left as it is: with none it would be in sight at once.
      if (seconds === 0) return true;
      const isDone = await this.#settleOne(each, seconds, options);
      if (isDone) each.until = now + seconds * 1000;
      return isDone;
    });
  }

  /** Does something with those that are ours. Returns the others, and those that it found to be no longer ours. */
  async #ofOurs(
    reservations: readonly Reservation[],
    settle: (reservation: SqsReservation) => Promise<boolean>,
  ): Promise<readonly Reservation[]> {
    const results = await Promise.allSettled(
      reservations.map(async (each) => this.isOurs(each) && await settle(each)),
    );
    return reservations.filter((_, i) => {
      const result = results[i];
      if (result?.status === "rejected") throw result.reason;
      return result?.value !== true;
    });
  }

  /** Says whether the message was ours until now. */
  async #settleOne(
    { from, handle }: SqsReservation,
    verb: Verb,
    options?: CallOptions,
  ): Promise<boolean> {
    const add = () =>
      this.#batchers.add(
        `${verb} ${from.queue}`,
        { from, verb },
        handle,
        options,
      );
    let failure = await add();
    // Of a batch some entries may fail, by no fault of theirs.
    if (failure !== undefined && mayPass(failure)) failure = await add();
    if (failure === undefined) return true;
    if (!mayPass(failure) && !isDenied(failure)) return false;
    throw requestError(settleAction(from.queue), failure);
  }
}

/** A queue, and the settlement of messages of it. */
interface Target {
  readonly from: SqsQueue;
  readonly verb: Verb;
}

function settleAction(queue: string): string {
  return `settle a message of queue "${queue}"`;
}
