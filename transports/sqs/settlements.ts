import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import { Batcher } from "./batcher.ts";
import { isDenied, mayPass, requestError } from "./errors.ts";
import type { ReceivedMessage } from "./port.ts";
import type { SqsQueue } from "./queues.ts";

/** Batches of settlements of a queue that may be under way at once: their order does not matter. */
const AT_ONCE = 8;

/** A message that is out of the others' sight. */
export class SqsReservation implements Reservation {
  readonly from: SqsQueue;
  readonly handle: string;
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  readonly deliveryCount: number;
  readonly expired = false;
  /** Until when it is ours, on the clock. */
  until: number;

  /** Made of what was received. */
  constructor(
    from: SqsQueue,
    { handle, receiveCount }: ReceivedMessage,
    read: {
      readonly message: Publishing | Malformed;
      readonly redelivered: boolean;
    },
    until: number,
  ) {
    this.from = from;
    this.handle = handle;
    this.message = read.message;
    this.deliveryCount = receiveCount - 1;
    this.redelivered = receiveCount > 1 || read.redelivered;
    this.until = until;
  }

  get queue(): string {
    return this.from.queue;
  }
}

/** What is done with messages that are ours: seconds out of sight, or gone. */
type Verb = number | "remove";

/**
 * Removes, gives back and holds messages, in batches of ten. SQS itself takes a receipt
 * whose time is over, and says that all is well: so that is told by our own clock.
 */
export class Settlements {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #batchers = new Map<string, Batcher<string>>();

  /** Makes one with nothing to do. */
  constructor(clock: Clock, limits: Limits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Says whether a message is still ours. */
  isOurs(reservation: Reservation): reservation is SqsReservation {
    return reservation instanceof SqsReservation &&
      reservation.until > this.#clock.now();
  }

  /**
   * Removes messages, or puts them back in sight with 0 seconds. Returns those that were
   * not ours. Where one of them fails by no fault of its own it rejects when all have been
   * tried: SQS takes each of them again, those too that it has settled.
   */
  async settle(
    reservations: readonly Reservation[],
    verb: Verb,
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const results = await Promise.allSettled(
      reservations.map((each) => this.#settleOne(each, verb, options)),
    );
    return reservations.filter((_, i) => {
      const result = results[i];
      if (result?.status === "rejected") throw result.reason;
      return result?.value !== true;
    });
  }

  /** Holds messages for some more seconds. Returns those that were not ours. */
  async hold(
    reservations: readonly Reservation[],
    seconds: number,
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const until = this.#clock.now() + seconds * 1000;
    const lost = await this.settle(reservations, seconds, options);
    const set = new Set(lost);
    for (const each of reservations) {
      if (!set.has(each) && each instanceof SqsReservation) each.until = until;
    }
    return lost;
  }

  async #settleOne(
    reservation: Reservation,
    verb: Verb,
    options?: CallOptions,
  ): Promise<boolean> {
    if (!this.isOurs(reservation)) return false;
    const { from, handle } = reservation;
    const batcher = this.#batcherOf(from, verb);
    const limits = { deadline: options?.deadline, signal: options?.signal };
    let failure = await batcher.add(handle, limits);
    // Of a batch some entries may fail, by no fault of theirs.
    if (failure !== undefined && mayPass(failure)) {
      failure = await batcher.add(handle, limits);
    }
    if (failure === undefined) return true;
    if (!mayPass(failure) && !isDenied(failure)) return false;
    throw requestError(`settle a message of queue "${from.queue}"`, failure);
  }

  #batcherOf({ queue, url, client }: SqsQueue, verb: Verb): Batcher<string> {
    const key = `${verb} ${queue}`;
    let batcher = this.#batchers.get(key);
    if (batcher === undefined) {
      batcher = new Batcher({
        mostBytes: Infinity,
        atOnce: AT_ONCE,
        limits: this.#limits,
        send: (handles, options) =>
          verb === "remove"
            ? client.remove(url, handles, options)
            : client.changeVisibility(url, handles, verb, options),
      });
      this.#batchers.set(key, batcher);
    }
    return batcher;
  }
}
