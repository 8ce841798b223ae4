import { ConnectionError, SettlementError } from "../../model/errors.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Reservation, Store } from "./store.ts";

interface Batch {
  readonly reservations: Reservation[];
  readonly settled: Promise<readonly Reservation[]>;
  deadline: number | undefined;
}

/**
 * Sends settlements in batches: those that are asked for in one go of the
 * microtask queue leave in one call of the store.
 */
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
   */
  settle(reservation: Reservation, options?: CallOptions): Promise<void> {
    const batch = this.#batch ?? this.#open();
    batch.reservations.push(reservation);
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
    const reservations: Reservation[] = [];
    const settled = Promise.resolve().then(() => {
      this.#batch = undefined;
      return this.#send(reservations, { deadline: batch.deadline });
    });
    const batch: Batch = { reservations, settled, deadline: undefined };
    return this.#batch = batch;
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
