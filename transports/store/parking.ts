import type { CallOptions } from "../../model/call_options.ts";
import { PublishError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { plainQueue } from "../../model/queue.ts";
import {
  destinationOf,
  parked,
  withHeaders,
} from "../../virtual/dead_letter.ts";
import { planDeclareQueue } from "../../virtual/declare.ts";
import { failedQueue } from "../../virtual/failed_queue.ts";
import type { Parked, ParkOptions } from "../transport.ts";
import type { DeadLetters } from "./dead_letters.ts";
import type { Declarer } from "./declarer.ts";
import { isMalformed, type Quarantine } from "./quarantine.ts";
import { leaseLost, settleOne } from "./doubted.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import type { Reservation } from "./store.ts";

/** How often the queue for failed messages is declared that somebody deletes meanwhile. */
const FEW_TRIES = 3;

/** The services that {@linkcode Parking} uses of its connection. */
export interface ParkingContext {
  readonly store: StoreWithTopology;
  readonly deadLetters: DeadLetters;
  readonly quarantine: Quarantine;
  readonly declarer: Declarer;
  readonly owner: string;
  /** The time by the calendar, ms since 1970. */
  readonly wall: () => number;
}

/** Puts messages that failed for good to where somebody finds them. */
export class Parking {
  readonly #context: ParkingContext;

  /** Makes one for all channels of a connection. */
  constructor(context: ParkingContext) {
    this.#context = context;
  }

  /**
   * Parks a message: it is in its new place when it leaves the old one.
   *
   * @throws {SettlementError} If it was no longer ours.
   * @throws {PublishError} If the queue for failed messages takes nothing.
   */
  async park(
    reservation: Reservation,
    options: ParkOptions,
  ): Promise<Parked> {
    const { store, deadLetters, quarantine } = this.#context;
    const { message } = reservation;
    const { headers, declared: _, ...call } = options;
    if (isMalformed(message)) {
      await quarantine.add(reservation, message.error, call);
      return { type: "quarantined" };
    }
    const failed = withHeaders(message, headers);
    const next = await deadLetters.next(reservation, failed, "rejected", call);
    if (next !== undefined) {
      const found = await this.#put(next, message, reservation, call);
      if (found !== undefined) return found;
    } else if (await store.messages.redrives?.(reservation, call)) {
      await settleOne(
        reservation,
        "drop",
        async (these) => await store.messages.drop?.(these, call) ?? [],
      );
      return { type: "rejected" };
    }
    return await this.#putAside(failed, message, reservation, options);
  }

  /** Parks a message in `<queue>.failed`, if its queue has no dead-letter exchange or the dead letter reaches no queue. */
  async #putAside(
    failed: Publishing,
    message: Publishing,
    reservation: Reservation,
    { declared, headers: _, ...call }: ParkOptions,
  ): Promise<Parked> {
    const { store, wall } = this.#context;
    const { queue } = reservation;
    const { topology } = await store.topology.read(
      { type: "queue", name: queue },
      call,
    );
    const name = failedQueue(
      queue,
      topology.queue(queue)?.declaration ?? declared,
      store.limits.queueNameBytes,
    );
    const copy = parked(queue, failed, name, wall());
    for (let i = 0; i < FEW_TRIES; i++) {
      await this.#declare(name, call);
      const found = await this.#put(copy, message, reservation, call);
      if (found !== undefined) return found;
    }
    throw new PublishError(
      `Cannot park a message of queue "${queue}": queue "${name}" takes no message`,
      { code: "publish-refused", retryable: true },
    );
  }

  /** Unless there is one, however it was declared. */
  async #declare(name: string, options: CallOptions): Promise<void> {
    const { declarer, owner } = this.#context;
    await declarer.change(
      { type: "queue", name },
      (topology) =>
        topology.queue(name) === undefined
          ? planDeclareQueue(topology, plainQueue(name), owner)
          : [],
      options,
    );
  }

  async #put(
    next: Publishing,
    message: Publishing,
    reservation: Reservation,
    options: CallOptions,
  ): Promise<Parked | undefined> {
    const { deadLetters } = this.#context;
    const put = await deadLetters.put(next, message, reservation, options);
    switch (put.type) {
      case "put":
        return { type: "parked", to: destinationOf(next) };
      case "quarantined":
        return { type: "quarantined" };
      case "lost":
        throw leaseLost(reservation);
      case "nowhere":
        return undefined;
    }
  }
}
