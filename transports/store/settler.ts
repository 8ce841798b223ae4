import { ConnectionError, SettlementError } from "../../model/errors.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Reservation, Store } from "./store.ts";
import type { StoreSubscription } from "./subscription.ts";

interface Batch {
  readonly reservations: Reservation[];
  /** Whose room is free again, one for each reservation that has such. */
  readonly subscriptions: StoreSubscription[];
  readonly settled: Promise<readonly Reservation[]>;
  deadline: number | undefined;
}

/** A batch leaves when nothing was added for so many rounds of the microtask queue: a `for await` needs a few for each message. */
const QUIET_ROUNDS = 4;

/** And when it has so many. */
const MOST = 128;

/** Sends settlements in batches: those of one go of a loop leave in one call of the store. */
export class Settler {
  readonly #send: (
    reservations: readonly Reservation[],
    options: CallOptions,
  ) => Promise<readonly Reservation[]>;
  #batch: Batch | undefined;

  /** Makes a settler for one of the store's two verbs. */
  constructor(store: Store, verb: "remove" | "release") {
    this.#send = (reservations, options) => store[verb](reservations, options);
  }

  /**
   * Settles a reservation with the next batch. The batch has the latest deadline
   * of its calls, and no signal: what one caller aborts is not undone for others.
   *
   * @param reservation What is settled.
   * @param subscription Has room for one more as soon as the settlement is on its way, and not before: the broker is never to see more than the prefetch unsettled.
   * @param options The call's limits.
   */
  settle(
    reservation: Reservation,
    subscription: StoreSubscription | undefined,
    options?: CallOptions,
  ): Promise<void> {
    const batch = this.#batch ?? this.#open();
    batch.reservations.push(reservation);
    if (subscription !== undefined) batch.subscriptions.push(subscription);
    const deadline = options?.deadline;
    if (
      deadline !== undefined &&
      (batch.deadline === undefined || deadline > batch.deadline)
    ) batch.deadline = deadline;
    const settling = batch.settled.then((lost) => {
      if (lost.length > 0 && lost.includes(reservation)) {
        throw leaseLost(reservation);
      }
    });
    // Who does not wait for it is not to fall over its failure: the message is
    // delivered again.
    settling.catch(ignore);
    return settling;
  }

  #open(): Batch {
    const batch: Batch = {
      reservations: [],
      subscriptions: [],
      settled: Promise.resolve().then(() => this.#sendSoon(batch)),
      deadline: undefined,
    };
    return this.#batch = batch;
  }

  async #sendSoon(batch: Batch): Promise<readonly Reservation[]> {
    const { reservations, subscriptions } = batch;
    let seen = 0;
    for (let quiet = 0; quiet < QUIET_ROUNDS; quiet++) {
      if (reservations.length >= MOST) break;
      if (reservations.length > seen) quiet = 0;
      seen = reservations.length;
      await undefined;
    }
    this.#batch = undefined;
    const sending = this.#send(reservations, { deadline: batch.deadline });
    for (const each of subscriptions) each.free(1);
    return await sending;
  }
}

function ignore(): void {}

/**
 * Makes the error for a settlement that came too late.
 *
 * @param reservation What should have been settled.
 * @returns The error.
 */
export function leaseLost(reservation: Reservation): SettlementError {
  return new SettlementError(
    `Cannot settle a message of queue "${reservation.queue}": its lease was lost, someone else may have it`,
    { code: "lease-lost" },
  );
}

/**
 * Makes the error for a call that came after the connection was lost.
 *
 * @param action What the call does.
 * @param cause Why it was lost.
 * @returns The error.
 */
export function lostBefore(action: string, cause: Error): ConnectionError {
  return new ConnectionError(`Cannot ${action}: the connection was lost`, {
    code: "connection-lost",
    outcome: "not-sent",
    cause,
  });
}

/**
 * Says whether a settlement failed for the message was no longer ours.
 *
 * @param error What it rejected with.
 * @returns Whether somebody else has it.
 */
export function isLeaseLost(error: unknown): error is SettlementError {
  return error instanceof SettlementError && error.code === "lease-lost";
}
